#!/bin/bash
# The whole way on real pictures, in under ten minutes of CPU: search → teacher → multi-step
# distillation → evaluation → ONNX → calibration → pack → the daemon's own evaluation of that pack.
# Stopped at any point, the same command goes on where it was.
#
#   scripts/training/runs/toy.sh              into scripts/training/var/toy
#   scripts/training/runs/toy.sh FOLDER       into FOLDER
#   SHORT=1 scripts/training/runs/toy.sh …    one seed, two epochs, few people: a test of the way
#
# Needs OSTIARY_SHARED (../shared of the checkout by default): data/orl_att_faces.tar, three tars of
# data/train, and from data/models YuNet and face-reidentification-retail-0095. The pack holds
# YuNet unless DETECTOR names another file: it stays in the folder, which git ignores.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
root=$(cd "$here/../.." && pwd)
shared=$(cd "${OSTIARY_SHARED:-$root/../shared}" && pwd)/data
work=${1:-$here/var/toy}
mkdir -p "$work" && work=$(cd "$work" && pwd)
python=${PYTHON:-$root/.venv/bin/python}
yunet=$shared/models/face_detection_yunet_2023mar.onnx
retail=$shared/models/face-reidentification-retail-0095.onnx
detector=${DETECTOR:-$yunet}
export PYTHONPATH="$here/src"
# Operations are so small here that a second thread waits more than it works.
export OMP_NUM_THREADS=1

facetrain() { "$python" -m facetrain "$@"; }
step() { printf '\n== %s\n' "$*"; }

# ORL has 40 people with ten pictures each: 30 to learn from, the last 10 to test on, nobody in both.
people=30 test_people=10
# Eight epochs of 9 steps are what seven trainings may have of ten minutes of CPU.
epochs=8
# Three seeds: the least that has a spread.
seeds="1 2 3"
# A step of the supernet costs as much as six of the student; two epochs move the alphas off their
# start and show that everything works. PocketNet's own search had 50 epochs on 450,000 pictures.
search_epochs=2
# Classes of a single picture are told apart soon, and by the wrong things.
pseudo_epochs=2
# Pictures without names: 562 for pseudo-identities, a third of them for the search without labels.
sources=(webmorph faker interfaces) label_free_share='[0, 0.33]'
if [ -n "${SHORT:-}" ]; then
  people=4 test_people=4 epochs=2 seeds="1" search_epochs=1
  sources=(interfaces) label_free_share='[0, 0.32]'
fi

step "pictures: $people people to train, $test_people to test; LFW-style pairs of those"
[ -e "$work/orl/pairs.txt" ] ||
  "$python" "$here/runs/toy/orl_pictures.py" "$shared/orl_att_faces.tar" "$work/orl" \
    --people "$people" --test-people "$test_people"
[ -e "$work/train.pack" ] ||
  facetrain data crops "$work/orl/train" --detector "$yunet" --by-folder --out "$work/train.pack"
[ -e "$work/test.pack" ] ||
  facetrain data crops "$work/orl/test" --detector "$yunet" --by-folder --out "$work/test.pack"
if [ ! -e "$work/unlabelled.pack" ]; then
  tars=()
  for source in "${sources[@]}"; do tars+=("$source=$shared/train/${source}_aligned112.tar"); done
  facetrain data pack "${tars[@]}" --out "$work/unlabelled.pack"
fi

# Half of each person's pictures trains the weights, the other half the alphas. Batches of 8 so that
# 150 pictures are 18 steps. Genotype, alphas and curves are drawn once, at the end.
searching=(--set "search.epochs=$search_epochs" --set "search.draw_epochs=$search_epochs")
step "search by the labels of the people to train"
facetrain search search:toy --data "$work/train.pack" --out "$work/search" "${searching[@]}"

# The same without a single label: 1 − cos to a teacher that sees the same view. One epoch.
step "search without labels, by 1 − cos to a teacher"
facetrain search search:toy_label_free --data "$work/unlabelled.pack" \
  --out "$work/search-label-free" --set search.epochs=1 --set search.draw_epochs=1 \
  --set "data.identities=$label_free_share" --teacher "$retail" --set teacher.kind=onnx \
  --set 'teacher.preprocessing={"width_px": 128, "height_px": 128, "channel_order": "bgr",
         "mean": [0, 0, 0], "std": [1, 1, 1]}'

# What all trainings share. ReLU and channels-last take half the time of PReLU and NCHW on a CPU.
common=(--set "model.options.genotype=$work/search/genotype.json"
  --set model.options.activation=relu --set loop.channels_last=true)
# The teacher is wider (8 channels, 6 cells) and has seen more: first every picture without a name
# is a class of its own and its augmented views are the members.
step "teacher, first on pseudo-identities"
facetrain train toy:teacher --data "$work/unlabelled.pack" --out "$work/pseudo" "${common[@]}" \
  --set data.labels=instance --set data.augment.preset=full --set "loop.epochs=$pseudo_epochs"
step "teacher, then on people, with a checkpoint of each epoch"
facetrain train toy:teacher --data "$work/train.pack" --out "$work/teacher" "${common[@]}" \
  --set "model.init_from=$work/pseudo/last.pt" --set "loop.epochs=$epochs"

for seed in $seeds; do
  # One seed, one start, one order of pictures: the two differ in the teacher alone. Multi-step:
  # epoch e of the student learns from the teacher as it was after its own epoch e.
  training=(--data "$work/train.pack" "${common[@]}" --set "loop.epochs=$epochs" --set "seed=$seed")
  step "seed $seed: student alone"
  facetrain train toy:student --out "$work/alone-$seed" "${training[@]}"
  step "seed $seed: student with the teacher, multi-step"
  facetrain distill toy:distilled --out "$work/distilled-$seed" "${training[@]}" \
    --teacher "$work/teacher"
done

# All pairs of the people held out: with ten people 450 of one person and 4,500 of two. FAR 1e-2 is
# the smallest rate that 4,500 pairs speak about (rule of 30: 3,000). Intervals are over people.
evaluate() {
  [ -e "$work/report/$1/verification.json" ] || facetrain evaluate verification --name "ORL, $1" \
    --checkpoint "$work/$1/last.pt" --detector "$yunet" --pairs "$work/orl/all-pairs.txt" \
    --pictures "$work/orl/test" --flip no --far 0.1 0.01 --out "$work/report/$1"
}
step "evaluation on the people held out"
evaluate teacher
for seed in $seeds; do
  evaluate "alone-$seed"
  evaluate "distilled-$seed"
done
step "distilled against alone, over the seeds"
"$python" "$here/runs/toy/compare.py" "$work/report" --seeds $seeds

# The first seed's distilled student goes the rest of the way, whatever the comparison says.
step "ONNX, calibration, pack"
[ -e "$work/embedder.onnx" ] ||
  facetrain export --checkpoint "$work/distilled-1/last.pt" --out "$work/embedder.onnx"
# Calibrated on the people that are tested below: good for showing the way, not for a door.
[ -e "$work/calibration/calibration.json" ] ||
  facetrain calibrate --onnx "$work/embedder.onnx" --faces "$work/test.pack" \
    --set "ORL, people held out from training" --out "$work/calibration"
[ -e "$work/toy-pack/pack.json" ] ||
  facetrain pack --embedder "$work/embedder.onnx" --detector "$detector" \
    --calibration "$work/calibration/calibration.json" --space toy.orl.1 \
    --source "toy run on ORL: shows the way, recognises nobody" \
    --licence "weights Apache-2.0; ORL with credit to Olivetti Research Laboratory" \
    --out "$work/toy-pack"

# Folds of two people, so that no person is in two: of each, 90 pairs of one person and 90 of two.
step "the daemon's own evaluation of the pack, from whole pictures"
"$root/scripts/ostiary" evaluate verification --pack "$work/toy-pack" --root "$work/orl/test" \
  --pairs "$work/orl/pairs.txt" --threads 1 | tee "$work/report/daemon.txt"

step "time: user and system, of the shell and of what it ran"
times
