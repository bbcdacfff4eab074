#!/usr/bin/env bash
# What a CUDA GPU can tell, within ten minutes, the most telling first: whole training
# steps beside MMAction2's, the tests that are for a GPU, loaders, two short trainings on
# simulated data, heatmaps. It builds nothing and downloads nothing. Prints tables at
# the end, and keeps them as gpu.md and gpu.json beside the logs in OUT, from the first
# step on; exit status 1 if anything failed or found no time. PY names the interpreter.
#
#   benchmarks/gpu.sh          on a machine with a GPU
#   benchmarks/gpu.sh --dry    the same list in the smallest sizes on the CPU, float32
#                              and bfloat16 alike, in two minutes
set -uo pipefail
cd "$(dirname "$0")/.."
PY=${PY:-python}
OUT=${OUT:-$(mktemp -d)}
IN_ALL=${IN_ALL:-580} # seconds
mkdir -p "$OUT"
scratch=$(mktemp -d) # simulated data and checkpoints
trap 'rm -rf "$scratch"' EXIT
export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH}
cores=$(env -u OMP_NUM_THREADS nproc)

case ${1-} in
    '')
        device=cuda clips=1200 videos=150 workers=$((cores > 14 ? 14 : cores))
        # Batches that MMAction2's attention, which stores its matrices, fits 80 GB in.
        recipes=(videomae:8 gctsm adatad_videomae-b videomae-s posec3d stgcnpp
            adatad_videomae-s videomae-l:4 adatad_videomae-l:1)
        plain=(videomae:8 gctsm posec3d) compiled=videomae:8
        size=(--steps 10)
        data=(--processes 1 "$cores" --rounds 1 --samples 128)
        heatmap=(--clips 64 --rounds 20)
        epochs=(30 40)
        amp=--amp
        ;;
    --dry)
        device=cpu clips=12 videos=12 workers=1
        recipes=(videomae-tiny:2 videomae-s:2 gctsm:2 posec3d-tiny:2 stgcnpp:2
            skeletontcn-tiny:2 adatad_videomae-tiny:1)
        plain=(gctsm-tiny:2) compiled=videomae-tiny:2
        size=(--steps 1 --size 32 --matrix 256)
        data=(--processes 1 "$cores" --rounds 1 --samples 8)
        heatmap=(--frames 3 --size 24 --clips 2 --rounds 1)
        epochs=(2 2)
        amp=''
        ;;
    *)
        echo "usage: $0 [--dry]" >&2
        exit 2
        ;;
esac
export MMMA_TEST_DEVICE=$device

failed=0
: >"$OUT/steps.tsv"

# run NAME SECONDS COMMAND...: within what is left of the time; its log, a line of
# steps.tsv, and the tables so far.
run() {
    local name=$1 limit=$2 code started=$SECONDS left=$((IN_ALL - SECONDS))
    shift 2
    ((limit <= left)) || limit=$left
    if ((limit < 10)); then
        printf '\n== %s: skipped, %d s are left\n' "$name" "$left"
        printf '%s\tskipped\t0\t0\n' "$name" >>"$OUT/steps.tsv"
        failed=1
    else
        printf '\n== %s (%d s): %s\n' "$name" "$SECONDS" "$*"
        timeout -k 5 "$limit" "$@" >"$OUT/$name.log" 2>"$OUT/$name.err" </dev/null
        code=$?
        if ((code)); then
            failed=1
            printf 'exit status %d\n' $code
            tail -n 12 "$OUT/$name.log" | cut -c 1-300
            tail -n 12 "$OUT/$name.err" | cut -c 1-300
        fi
        printf '%s\t%d\t%d\t%d\n' "$name" $code $((SECONDS - started)) "$limit" \
            >>"$OUT/steps.tsv"
    fi
    "$PY" benchmarks/gpu.py "$OUT" --runs "$scratch" || failed=1
}

bench() {
    local name=$1 limit=$2 script=$3
    shift 3
    run "$name" "$limit" "$PY" -W ignore "benchmarks/$script.py" "$@" --json
}

steps() {
    local name=$1 limit=$2
    shift 2
    bench "$name" "$limit" recipes "$@" "${size[@]}" --device $device
}

simulate() {
    run "simulated-$1" 60 "$PY" -W ignore tools/data/simulate.py "$scratch/$1" \
        --modality video --scale small --balanced "${@:2}"
}

# train NAME RECIPE ROOT EPOCHS: validated now and then, and at the end.
train() {
    local interval=$(($4 / 4 > 0 ? $4 / 4 : 1))
    run "$1" 100 "$PY" -W ignore tools/train.py "configs/$2.py" --no-pretrained $amp \
        --data-root "$scratch/$3" --work-dir "$scratch/$1" --cfg-options \
        "train_cfg.max_epochs=$4" "train_cfg.val_interval=$interval" \
        "train_dataloader.num_workers=$workers" "val_dataloader.num_workers=$((workers / 2))"
}

steps 'steps-bfloat16' 200 "${recipes[@]}" --amp --channels-last --keep
run 'tests' 235 "$PY" -m pytest -s -m cuda tests/test_gpu.py
simulate clips --tasks rec --videos $clips
simulate videos --tasks det --videos $videos
run 'packed-clips' 60 "$PY" -W ignore tools/data/pack.py \
    "$scratch/clips" "$scratch/packed"
bench 'loaders' 60 data --what workers "${data[@]}" "$scratch/packed"
train 'gctsm-tiny' recog/gctsm-tiny_mma82_indomain packed "${epochs[0]}"
train 'adatad_videomae-tiny' det/adatad_videomae-tiny_mma82 videos "${epochs[1]}"
steps 'steps-bfloat16-compiled' 90 $compiled --amp --compile
run 'changes-on-the-device' 40 "$PY" -W ignore tools/train.py \
    configs/recog/gctsm-tiny_mma82_indomain.py --fast-dev-run --no-pretrained $amp \
    --device-augment --data-root "$scratch/packed" --work-dir "$scratch/changes"
bench 'heatmaps' 30 heatmap "${heatmap[@]}" --device $device
steps 'steps-float32' 60 "${plain[@]}"

printf '\n'
"$PY" benchmarks/gpu.py "$OUT" --runs "$scratch" --show || failed=1
echo "logs, gpu.json and gpu.md are in $OUT"
exit $failed
