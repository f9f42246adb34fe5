#!/bin/sh
# The bundled pack's detector, from a folder of crops to an ONNX file and its report.
# Stopped at any point (also by SIGTERM), the same command goes on where it was.
#
#   scripts/training/runs/bundled-detector.sh            on the CPU, one thread
#   DEVICE=cuda scripts/training/runs/bundled-detector.sh   on a GPU (bf16, channels-last)
#   FROM=scripts/training/checkpoints/bundled-detector.pt …  a new third part from the kept weights
#                                                            (another WORK)
#
# Needs OSTIARY_SHARED (../shared of the checkout by default): data/train, data/clips, the teacher
# data/models/face_detection_yunet_2023mar.onnx, and data/lfw/lfw_outside.tar for the report.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
root=$(cd "$here/../.." && pwd)
OSTIARY_SHARED=$(cd "${OSTIARY_SHARED:-$root/../shared}" && pwd)
export OSTIARY_SHARED PYTHONPATH="$here/src"
device=${DEVICE:-cpu}
work=${WORK:-$here/var/detector}
python=${PYTHON:-$root/.venv/bin/python}
facetrain() { "$python" -m facetrain "$@"; }

# One thread leaves the machine to others; a step of 16 canvases is too small to gain from more.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"

if [ "$device" = cpu ]; then
  kind= workers=${WORKERS:-1}
  # 32 shards of 256 = 8,192 canvases, three of 320 px for each of 512 px, about two faces on each.
  # A canvas costs 50 ms to make and label and 28 ms to train on once.
  shards=${SHARDS:-32}
  # 64 shards of 512 = 32,768 small canvases of near faces.
  close_ups=${CLOSE_UPS:-64}
  # Of a core that is shared little: what was run is in LOG.md.
  stage_minutes=${STAGE_MINUTES:-20} whole_minutes=${WHOLE_MINUTES:-60} minutes=${MINUTES:-60}
else
  kind=-gpu workers=${WORKERS:-$(nproc)}
  # 200 shards = 51,200 canvases, 45 minutes of one core to make. How far a GPU comes in five
  # minutes is not measured.
  shards=${SHARDS:-200} close_ups=${CLOSE_UPS:-400}
  stage_minutes=${STAGE_MINUTES:-1} whole_minutes=${WHOLE_MINUTES:-2} minutes=${MINUTES:-2}
fi

facetrain detector canvases --shards "$shards" --out "$work/canvases" --workers "$workers"
facetrain detector canvases --close-ups --shards "$close_ups" --out "$work/close-ups" \
  --workers "$workers"

# MAX_MINUTES stops a part early, with a checkpoint and status 3; what there is so far is exported
# all the same.
learn() {
  facetrain detector distil --device "$device" "$@" \
    ${MAX_MINUTES:+--max-minutes "$MAX_MINUTES"} || [ $? -eq 3 ]
}
start=${FROM:-}
if [ -z "$start" ]; then
  # Each part of the network on its own, from the teacher's map before it to the one after it.
  learn --recipe "stages$kind" --canvases "$work/canvases" --minutes "$stage_minutes" \
    --out "$work/stages"
  # Then as one network, with the teacher's scores, boxes and landmarks.
  learn --recipe "bundled$kind" --canvases "$work/canvases" --minutes "$whole_minutes" \
    --start "$work/stages/last.pt" --out "$work/whole"
  start=$work/whole/last.pt
fi
# Then without the teacher's maps, with close-ups.
learn --recipe "landmarks$kind" --canvases "$work/canvases" "$work/close-ups" \
  --minutes "$minutes" --start "$start" --out "$work/run"

facetrain detector export --checkpoint "$work/run/last.pt" --out "$work/detector.onnx"
# What a later run may start from: FROM of this script.
facetrain keep "$work/run/last.pt" --out "${KEEP:-$work/bundled-detector.pt}"

# The development set: pictures of people who are not in LFW's pairs.txt; never trained on. SCORE_MIN
# is chosen on its table by threshold. Then what was held out of everything.
data=$OSTIARY_SHARED/data
facetrain detector evaluate --model "$work/detector.onnx" --out "$work/report" \
  --score-min "${SCORE_MIN:-0.7}" --landmarks two-looks --pictures "$data/lfw/lfw_outside.tar"
facetrain detector evaluate --model "$work/detector.onnx" --out "$work/held-out" \
  --score-min "${SCORE_MIN:-0.7}" --landmarks two-looks --limit 1000 --pictures "$data/clips/classroom.gif" \
  "$data/clips/head-pose-face-detection-female.gif" "$data/lfw/lfw_pairs.tar"
