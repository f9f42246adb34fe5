#!/bin/sh
# The bundled pack's embedder, from the tars of faces to a checkpoint that is kept and its figures.
# Stopped at any point (also by SIGTERM), the same command goes on where it was.
#
#   scripts/training/runs/bundled-embedder.sh               what there is: a GPU, else the CPU
#   PREPARE=1 scripts/training/runs/bundled-embedder.sh     data only; no GPU is needed for it
#   FROM=scripts/training/checkpoints/bundled-embedder.pt scripts/training/runs/bundled-embedder.sh
#                                                           a new run from the kept weights
#
# On a machine that is lent for minutes: PREPARE=1 here, carry train.pack, dev.pack, people.pack and
# teacher.onnx of scripts/training/var/embedder there (under 64 MiB together) and run the same
# command; nothing else of OSTIARY_SHARED is needed then. MAX_MINUTES ends it with a checkpoint and
# status 3. STEPS or MINUTES say what the schedule is made for, TRAIN=PACK trains on another set,
# REFIT says on how many pictures the last layer is fitted (on a CPU), KEEP=FILE where the small
# checkpoint goes.
#
# For the data it needs OSTIARY_SHARED (../shared of the checkout by default).
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
root=$(cd "$here/../.." && pwd)
export PYTHONPATH="$here/src"
work=${WORK:-$here/var/embedder}
python=${PYTHON:-$root/.venv/bin/python}
[ -x "$python" ] || python=python3
facetrain() { "$python" -m facetrain "$@"; }
mkdir -p "$work"

cuda='import sys, torch; sys.exit(not torch.cuda.is_available())'
device=${DEVICE:-$("$python" -c "$cuda" && echo cuda || echo cpu)}

# A process per core and one thread in each: threads would wait for the slowest at every operation,
# processes only at the end of a step. (Not measured against two threads.)
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
# Each step frees and takes the same few hundred MB. By default glibc gives blocks above 128 KiB
# back at once, and their pages are zeroed again at the next step.
export MALLOC_MMAP_THRESHOLD_=33554432 MALLOC_TRIM_THRESHOLD_=4294967296

prepare() {
  data=$(cd "${OSTIARY_SHARED:-$root/../shared}" && pwd)/data
  cp -f "$data/models/face-reidentification-retail-0095.onnx" "$work/teacher.onnx"
  if [ ! -f "$work/train.pack" ]; then
    # WebP at quality 76: 38,227 crops in under 55 MiB. FairFace's part "val" stays out.
    all=$work/all.pack
    [ -f "$all" ] || facetrain data pack fairface="$data/train/fairface_aligned112.tar" \
      sfhq="$data/train/sfhq_aligned112.tar" pixabay="$data/train/pixabay_aligned112.tar" \
      webmorph="$data/train/webmorph_aligned112.tar" faker="$data/train/faker_aligned112.tar" \
      interfaces="$data/train/interfaces_aligned112.tar" \
      congress="$data/train/congress_aligned112.tar" --form webp --quality 76 --out "$all" \
      --part fairface=train --labels fairface="$data/train/fairface_label_train.csv"
    [ -f "$work/lfw.pack" ] || facetrain data crops "$data/lfw/lfw_pairs.tar" \
      --detector "$data/models/face_detection_yunet_2023mar.onnx" --out "$work/lfw.pack"
    # Above 0.6 the teacher takes two pictures for one person: training must not see LFW's people.
    facetrain data drop-like "$all" --others "$work/lfw.pack" --embedder "$work/teacher.onnx" \
      --preset retail-0095 --threshold 0.6 --out "$work/train.pack" --report "$work/dropped.csv"
  fi
  [ -f "$work/dev.pack" ] || facetrain data pack fairface="$data/train/fairface_aligned112.tar" \
    --form webp --quality 76 --out "$work/dev.pack" \
    --part fairface=val --labels fairface="$data/train/fairface_label_val.csv"
  if [ ! -f "$work/people.pack" ]; then
    facetrain data crops "$data/orl_att_faces.tar" --by-folder --out "$work/orl.pack" \
      --detector "$data/models/face_detection_yunet_2023mar.onnx"
    facetrain data pack orl="$work/orl.pack" --form webp --quality 90 --out "$work/people.pack"
  fi
}

for file in "${TRAIN:-$work/train.pack}" "$work/dev.pack" "$work/people.pack" "$work/teacher.onnx"; do
  [ -f "$file" ] || { prepare; break; }
done
[ -z "${PREPARE:-}" ] || exit 0

if [ "$device" = cpu ]; then
  # 16 pictures per process and step: beyond 32 a thread's working set leaves the caches.
  recipe=bundled:cpu processes=${PROCESSES:-2}
else
  # 190 epochs of 38,000 pictures are 7 M views. How long a GPU takes is not measured.
  recipe=bundled:gpu processes=1
fi

set -- "$recipe" --data "${TRAIN:-$work/train.pack}" --teacher "$work/teacher.onnx" --device "$device" \
  --out "${RUN:-$work/run-$device}" --set "held_out.path=$work/dev.pack" "$@"
[ -z "${STEPS:-}" ] || set -- "$@" --set "loop.max_steps=$STEPS"
[ -z "${MINUTES:-}" ] || set -- "$@" --set "loop.minutes=$MINUTES"
[ -z "${FROM:-}" ] || set -- "$@" --set "model.init_from=$FROM"
[ -z "${MAX_MINUTES:-}" ] || set -- "$@" --max-minutes "$MAX_MINUTES"

# By hand and not by torchrun: all of it stays in one process group, which can be stopped as one.
export MASTER_ADDR=127.0.0.1 MASTER_PORT="${MASTER_PORT:-29571}" WORLD_SIZE="$processes"
ended=0 rank=0 children=
trap 'kill $children 2>/dev/null || true' TERM INT
while [ "$rank" -lt "$processes" ]; do
  RANK=$rank LOCAL_RANK=$rank "$python" -m facetrain distill "$@" &
  children="$children $!" rank=$((rank + 1))
done
for child in $children; do
  status=0
  wait "$child" || status=$?
  # A trapped signal ends the first wait early; the child itself has yet to write its checkpoint.
  [ "$status" -le 128 ] || { status=0; wait "$child" || status=$?; }
  [ "$status" -eq 0 ] || ended=$status
done
[ "$ended" -eq 0 ] || [ "$ended" -eq 3 ] || exit "$ended"

unset WORLD_SIZE
kept=${KEEP:-$work/bundled-embedder.pt}
trained=${RUN:-$work/run-$device}/last.pt
if [ "$device" = cpu ]; then
  # After so few views the last layer is behind what lies before it: ten minutes of a core.
  facetrain refit "$trained" --faces "${TRAIN:-$work/train.pack}" --teacher "$work/teacher.onnx" \
    --statistics 512 --pictures "${REFIT:-8000}" --out "$work/refitted.pt"
  trained=$work/refitted.pt
fi
facetrain keep "$trained" --out "$kept"
facetrain compare "$kept" --teacher "$work/teacher.onnx" --faces "$work/dev.pack" \
  --people "$work/people.pack" --device "$device"
exit "$ended"
