#!/usr/bin/env bash
# Builds the native addons without prebuilt binaries, hnswlib-node and opencv4nodejs, against the
# Node 24 in node_modules and puts them where their packages look for them.
#
# The packages' own install scripts are not used: opencv4nodejs would build all of OpenCV's modules
# (9 CPU-minutes). Only core, imgproc, imgcodecs and calib3d are compiled here, in four unity files;
# video and window functions are cut out, so that neither Qt nor the video libraries are loaded.
# hnswlib gets an inner product that is as quick as the processor at hand allows (inner-product.h), and its
# graph huge pages (huge-pages.h).
# Results are cached by everything they depend on, so a second checkout on a machine is quick.
set -euo pipefail
here="$(cd -P "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
root="$(cd -P "$here/../.." && pwd)"
modules="$root/node_modules"
node="$("$root/scripts/node" -p process.execPath)"
node_package="$(dirname "$(dirname "$node")")"

fail() { echo "native.sh: $*" >&2; exit 1; }

# --- OpenCV on this system ---------------------------------------------------------------------
includes="${OSTIARY_OPENCV_INCLUDE:-}"
if [[ -z "$includes" ]]; then
  for dir in /usr/local/include/opencv4 /usr/include/opencv4; do
    [[ -f "$dir/opencv2/core/version.hpp" ]] && includes="$dir" && break
  done
fi
[[ -n "$includes" ]] || fail "OpenCV's headers are missing (libopencv-core-dev)"
# Some distributions keep the generated headers in the directory of the architecture.
for dir in /usr/include/*/opencv4; do [[ -d "$dir" ]] && includes="$includes $dir"; done
libraries="${OSTIARY_OPENCV_LIB:+-L$OSTIARY_OPENCV_LIB -Wl,-rpath,$OSTIARY_OPENCV_LIB}"
if [[ "$includes" == /usr/local/* && -z "$libraries" ]]; then
  libraries="-L/usr/local/lib -Wl,-rpath,/usr/local/lib"
fi
version_of() { sed -n "s/^#define CV_VERSION_$1 *//p" "${includes%% *}/opencv2/core/version.hpp"; }
opencv="$(version_of MAJOR).$(version_of MINOR).$(version_of REVISION)"
[[ "$(printf '%s\n4.5.0\n' "$opencv" | sort -V | head -1)" == 4.5.0 ]] ||
  fail "OpenCV $opencv is too old: 4.5 or newer is needed"

# --- cache ---------------------------------------------------------------------------------------
version_in() { sed -n 's/^  "version": "\(.*\)",*$/\1/p' "$modules/$1/package.json" | head -1; }
jobs="$(nproc)"
cache="${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/ostiary/native"
here_key="$(cat "$here/native.sh" "$here/opencv-binding.gyp" "$here/inner-product.h" "$here/huge-pages.h" |
  sha256sum | cut -c1-12)"
abi="node-$("$node" -p process.versions.modules)-$(uname -m)-$here_key"
cv_cached="$cache/opencv4nodejs-$(version_in opencv4nodejs)-opencv-$opencv-$abi.node"
hnsw_cached="$cache/hnswlib-node-$(version_in hnswlib-node)-$abi.node"
mkdir -p "$cache"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

gyp() {
  (cd "$1" && PATH="$(dirname "$node"):$PATH" npm_config_nodedir="$node_package" \
    "$node" "$modules/node-gyp/bin/node-gyp.js" rebuild --release --jobs "$jobs")
}

# Publishes a finished build: a reader sees the old file or the new one, never a half.
publish() { cp "$1" "$2.$$" && mv -f "$2.$$" "$2"; }

build_hnswlib() {
  local headers="$work/hnswlib-node/src/hnswlib"
  cp -r "$modules/hnswlib-node" "$work/hnswlib-node"
  cp "$here/inner-product.h" "$headers/space_ip.h"
  cp "$here/huge-pages.h" "$headers/"
  sed -i -e '0,/^#include/s//#include "huge-pages.h"\n&/' \
    -e 's/(char \*) malloc(\(max_elements_*\) \* size_data_per_element_)/AllocateInHugePages(\1 * size_data_per_element_)/' \
    "$headers/hnswalg.h"
  [[ "$(grep -c AllocateInHugePages "$headers/hnswalg.h")" == 2 ]] ||
    fail "hnswlib allocates its graph in another way than expected"
  # Stop conditions name the replaced functions; the addon has no use for them.
  sed -i '/stop_condition.h/d' "$headers/hnswlib.h"
  ln -s "$modules" "$work/node_modules"
  gyp "$work/hnswlib-node"
  publish "$work/hnswlib-node/build/Release/addon.node" "$hnsw_cached"
}

build_opencv() {
  local dir="$work/opencv4nodejs" unit=0 sources file
  mkdir -p "$dir/shim/opencv2"
  cp -r "$modules/opencv4nodejs/cc" "$dir/cc"
  cp "$here/opencv-binding.gyp" "$dir/binding.gyp"
  # What the binding believes OpenCV was built with.
  printf '#define HAVE_%s\n' OPENCV_CORE OPENCV_IMGPROC OPENCV_IMGCODECS OPENCV_CALIB3D IO \
    >"$dir/shim/opencv2/opencv_modules.hpp"
  # Keep imread, imwrite, imdecode, imencode; drop video capture and windows.
  sed -i -e '/Video/d' -e 's/highgui/imgcodecs/' "$dir/cc/io/io.h"
  sed -i -e '/Video\|IoConstants\|ioConstants\|(target, "\(imshow\|waitKey\|destroy\)/d' \
    -e '/^NAN_METHOD(Io::Imshow)/,/^NAN_METHOD(Io::Imdecode)/{/^NAN_METHOD(Io::Imdecode)/!d}' \
    "$dir/cc/io/io.cc"
  # The files of constants open namespace cv, so each comes last in its unit.
  for sources in \
    "core/Mat" \
    "imgproc/MatImgproc imgproc/imgproc imgproc/Contour imgproc/Moments imgproc/imgprocConstants" \
    "io/io calib3d/calib3d calib3d/MatCalib3d calib3d/calib3dConstants" \
    "opencv4nodejs CustomMatAllocator ExternalMemTracking core/core core/HistAxes core/Point
     core/Vec core/Size core/Rect core/RotatedRect core/TermCriteria core/coreConstants"; do
    unit=$((unit + 1))
    for file in $sources; do echo "#include \"$file.cc\""; done >"$dir/unity-$unit.cc"
  done
  OSTIARY_OPENCV_INCLUDES="$includes" OSTIARY_OPENCV_LIBRARIES="$libraries" \
    OSTIARY_NAN="$modules/nan" gyp "$dir"
  publish "$dir/build/Release/opencv4nodejs.node" "$cv_cached"
}

[[ -f "$hnsw_cached" ]] && echo "from cache: $hnsw_cached" || build_hnswlib
[[ -f "$cv_cached" ]] && echo "from cache: $cv_cached" || build_opencv
install_addon() {
  mkdir -p "$(dirname "$2")"
  publish "$1" "$2"
}
install_addon "$hnsw_cached" "$modules/hnswlib-node/build/Release/addon.node"
install_addon "$cv_cached" "$modules/opencv4nodejs/build/Release/opencv4nodejs.node"

# A build that cannot be loaded must not stay in the cache.
load='const{createRequire}=require("node:module");for(const f of process.argv.slice(1))createRequire(f)(f)'
for addon in hnswlib-node/build/Release/addon.node opencv4nodejs/build/Release/opencv4nodejs.node; do
  "$node" -e "$load" "$modules/$addon" || {
    rm -f "$hnsw_cached" "$cv_cached"
    fail "$addon was built but does not load"
  }
done
echo "addons ready (OpenCV $opencv, $abi)"
