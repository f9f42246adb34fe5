/*
 * The inner product of hnswlib's graph, in place of the package's space_ip.h: that one knows only the
 * instructions it was compiled for, SSE in a build that any x86-64 can run, and nothing for ARM. Here
 * one build runs everywhere and takes 256-bit fused arithmetic where the processor has it; on ARM the
 * same lines become NEON.
 */
#pragma once
#include "hnswlib.h"

namespace hnswlib {

typedef float Lanes4 __attribute__((vector_size(16)));
typedef float Lanes8 __attribute__((vector_size(32)));

/** 1 − ⟨a, b⟩ of two float32 vectors; `dimension` points to a size_t. */
template <typename Lanes>
__attribute__((always_inline)) inline float InnerProductDistance(
    const void* a, const void* b, const void* dimension) {
  // Vectors lie wherever a float may.
  struct __attribute__((packed, may_alias)) Part {
    Lanes lanes;
  };
  constexpr size_t kLanes = sizeof(Lanes) / sizeof(float);
  const size_t count = *static_cast<const size_t*>(dimension);
  const float* x = static_cast<const float*>(a);
  const float* y = static_cast<const float*>(b);
  // Four sums, so that none waits for its last addition.
  Lanes sum0 = {}, sum1 = {}, sum2 = {}, sum3 = {};
  size_t at = 0;
  for (; at + 4 * kLanes <= count; at += 4 * kLanes) {
    const Part* u = reinterpret_cast<const Part*>(x + at);
    const Part* v = reinterpret_cast<const Part*>(y + at);
    sum0 += u[0].lanes * v[0].lanes;
    sum1 += u[1].lanes * v[1].lanes;
    sum2 += u[2].lanes * v[2].lanes;
    sum3 += u[3].lanes * v[3].lanes;
  }
  const Lanes lanes = (sum0 + sum1) + (sum2 + sum3);
  float sum = 0;
  for (size_t lane = 0; lane < kLanes; lane++) sum += lanes[lane];
  for (; at < count; at++) sum += x[at] * y[at];
  return 1.0f - sum;
}

static float InnerProductDistanceAnywhere(const void* a, const void* b, const void* dimension) {
  return InnerProductDistance<Lanes4>(a, b, dimension);
}

#if defined(__x86_64__)
__attribute__((target("fma"))) static float InnerProductDistanceFma(
    const void* a, const void* b, const void* dimension) {
  return InnerProductDistance<Lanes8>(a, b, dimension);
}
#endif

class InnerProductSpace : public SpaceInterface<float> {
 public:
  explicit InnerProductSpace(size_t dimension) : dimension_(dimension) {}
  size_t get_data_size() override { return dimension_ * sizeof(float); }
  DISTFUNC<float> get_dist_func() override {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("fma")) return InnerProductDistanceFma;
#endif
    return InnerProductDistanceAnywhere;
  }
  void* get_dist_func_param() override { return &dimension_; }

 private:
  size_t dimension_;
};

}  // namespace hnswlib
