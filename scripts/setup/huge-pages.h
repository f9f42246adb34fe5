/*
 * Memory for what is read at random all over, as hnswlib's graph is: with pages of 4 KiB most reads of
 * 100 MB also miss the processor's table of pages. The kernel may give huge ones, or not.
 */
#pragma once
#include <sys/mman.h>

#include <cstdlib>

namespace hnswlib {

/** As malloc: free and realloc take the block, nullptr says that there is no memory. */
inline char* AllocateInHugePages(size_t bytes) {
  constexpr size_t kHugePage = size_t{2} << 20;
  if (bytes < kHugePage) return static_cast<char*>(malloc(bytes));
  void* block = nullptr;
  if (posix_memalign(&block, kHugePage, bytes) != 0) return nullptr;
#if defined(MADV_HUGEPAGE)
  madvise(block, bytes, MADV_HUGEPAGE);
#endif
  return static_cast<char*>(block);
}

}  // namespace hnswlib
