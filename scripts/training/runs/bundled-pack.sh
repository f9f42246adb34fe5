#!/bin/sh
# The bundled pack: a detector and an embedder become models/$ID with calibration, golden vectors and
# an evaluation report. One command after every retraining:
#
#   scripts/training/runs/bundled-pack.sh                 from var/detector and var/embedder
#   ID=ostiary-5 RELEASE=5 scripts/training/runs/bundled-pack.sh
#   DRAFT=1 scripts/training/runs/bundled-pack.sh         without LFW, for a look; stays in var/pack
#
# LFW's pairs.txt is the test: without DRAFT it is run, and a run belongs into LOG.md. SCORE_MIN is
# the detector's least score, chosen on the development set (runs/bundled-detector.sh's report).
# DOORS=1 marks it as good enough for doors: at least 98.5 % on LFW.
#
# Needs OSTIARY_SHARED (../shared of the checkout by default) for LFW, FairFace, YuNet and the teacher.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
root=$(cd "$here/../.." && pwd)
data=$(cd "${OSTIARY_SHARED:-$root/../shared}" && pwd)/data
export OSTIARY_SHARED="${data%/data}" PYTHONPATH="$here/src"
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
python=${PYTHON:-$root/.venv/bin/python}
facetrain() { "$python" -m facetrain "$@"; }
ostiary() { "$root/scripts/ostiary" "$@"; }

id=${ID:-ostiary-4} release=${RELEASE:-4} threads=${THREADS:-1}
detector=${DETECTOR:-$here/var/detector/detector.onnx}
embedder=${EMBEDDER:-$here/var/embedder/embedder.onnx}
dev=${DEV:-$here/var/embedder/dev.pack} people=${PEOPLE:-$here/var/embedder/people.pack}
work=${WORK:-$here/var/pack}
out=${OUT:-$root/models/$id}
yunet=$data/models/face_detection_yunet_2023mar.onnx
teacher=$data/models/face-reidentification-retail-0095.onnx

# A new network is a new space: its name comes from its weights.
space=pocketnet-s256.$(sha256sum "$embedder" | cut -c1-12)
first=$work/uncalibrated/$id
rm -rf "$work/$id" "$first"
mkdir -p "$work/uncalibrated"

pack() { # pack OUT [OPTION…]
  pack_out=$1
  shift
  facetrain pack --out "$pack_out" --detector "$detector" --embedder "$embedder" --space "$space" \
    --release "$release" --score-min "${SCORE_MIN:-0.7}" --landmarks two-looks --commit "$(git -C "$root" rev-parse HEAD)" \
    ${DOORS:+--for-doors} "$@" \
    --source "Trained by scripts/training of this repository, without identity labels. Detector: distilled \
from YuNet 2023mar (MIT) on canvases of FairFace, SFHQ, webmorph, faker, interfaces, Pixabay and congress faces; \
developed on LFW pictures of people outside pairs.txt. Embedder: PocketNetS-256 with ReLU, distilled from Open \
Model Zoo face-reidentification-retail-0095 (Apache-2.0) on the same faces, without FairFace val." \
    --licence "Apache-2.0, as this repository. Credit: FairFace (CC BY 4.0), Face Research Lab London and Canada \
sets by DeBruine and Jones (CC BY 4.0). models/README.md has all data and teachers with their licences."
}
pack "$first"

# One directory for each set: its name becomes the name of its group.
if [ ! -d "$work/fairface-val" ]; then
  mkdir -p "$work/.fairface-val"
  tar xf "$data/train/fairface_aligned112.tar" -C "$work/.fairface-val" --strip-components=2 fair_face/val
  mv "$work/.fairface-val" "$work/fairface-val"
fi
set -- --crops "$work/fairface-val" --labels "$data/train/fairface_label_val.csv" --group race --group gender
words="FairFace val, aligned crops, each taken for another person"
compared=
if [ -z "${DRAFT:-}" ]; then
  if [ ! -d "$work/lfw" ]; then
    mkdir -p "$work/.lfw"
    tar xf "$data/lfw/lfw_pairs.tar" -C "$work/.lfw" --strip-components=1
    mv "$work/.lfw" "$work/lfw"
  fi
  set -- "$@" --root "$work/lfw"
  words="$words; LFW, one picture (150x150) of each person of pairs.txt; pairs within each of the two"

  verify() { # verify NAME PACK: run once for the same weights and least score
    key=$({ cat "$2/detector.onnx" "$2/embedder.onnx"; grep -e scoreMin -e landmarks "$2/pack.json"; } | sha256sum | cut -c1-12)
    if [ ! -f "$work/$1.$key.json" ]; then
      ostiary evaluate verification --pack "$2" --root "$work/lfw" --pairs "$data/lfw/pairs.txt" \
        --threads "$threads" --json >"$work/.$1.json"
      mv "$work/.$1.json" "$work/$1.$key.json"
    fi
    cp "$work/$1.$key.json" "$work/$1.json"
  }
  # The score table changes no embedding: pairs and calibration at once, on two cores.
  verify verification "$first" &
  mixed=$work/detector-and-teacher reference=$work/yunet-and-teacher
  rm -rf "$mixed"
  facetrain pack --out "$mixed" --detector "$detector" --embedder "$teacher" --preset retail-0095 \
    --space mixed --score-min "${SCORE_MIN:-0.7}" --landmarks two-looks --source "for comparison" \
    --licence "not published"
  [ -d "$reference" ] || ostiary models import --detector "$yunet" --embedder "$teacher" \
    --preset retail-0095 --out "$reference"
  verify with-teacher "$mixed"
  verify reference "$reference"
  compared=1
fi
ostiary evaluate calibration --pack "$first" "$@" --set "$words" --out "$work/calibration.json" \
  --threads "$threads"
wait

pack "$work/$id" --calibration "$work/calibration.json"

set -- --pack "$work/$id" --teacher "$teacher" --faces "$dev" --people "$people"
# What detectors are developed on, then what was held out of everything.
for report in "$here/var/detector/report" "$here/var/detector/held-out"; do
  [ ! -f "$report/report.json" ] || set -- "$@" --detector-report "$report/report.json"
done
[ -z "$compared" ] || set -- "$@" --verification "$work/verification.json" \
  --with-teacher "$work/with-teacher.json" --reference "$work/reference.json"
facetrain report "$@" --out "$work/$id"
[ -z "${DRAFT:-}" ] || exit 0

rm -rf "$out"
mkdir -p "$(dirname "$out")"
cp -r "$work/$id" "$out.partial"
mv "$out.partial" "$out"
du -sb "$out"
