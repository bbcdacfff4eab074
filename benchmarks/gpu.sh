#!/usr/bin/env bash
# What a CUDA GPU can tell, within ten minutes: the models in both precisions, heatmaps,
# NMS, and short training in bfloat16 on simulated videos. Prints a summary at the end;
# exit status 1 if anything failed. PY names the interpreter, OUT a folder for the runs.
#
#   benchmarks/gpu.sh          on a machine with a GPU
#   benchmarks/gpu.sh --dry    the same list in the smallest sizes on the CPU, float32 in
#                              training, in two minutes
set -uo pipefail
cd "$(dirname "$0")/.."
PY=${PY:-python}
OUT=${OUT:-$(mktemp -d)}
mkdir -p "$OUT"
export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH}

case ${1-} in
    '')
        device=cuda videos=24 amp=--amp batch=4
        vit=(--arch base --batch-size 8 --steps 10)
        tia=(--steps 5)
        heatmap=(--clips 64 --rounds 20)
        nms=()
        gctsm=gctsm adatad=adatad_videomae-s
        export MMMA_TEST_DEVICE=cuda
        ;;
    --dry)
        device=cpu videos=12 amp='' batch=2
        vit=(--arch tiny --steps 1)
        tia=(--frames 32 --size 32 --steps 1)
        heatmap=(--frames 3 --size 24 --clips 2 --rounds 1)
        nms=(--candidates 80 --classes 5 --videos 2 --rounds 1)
        gctsm=gctsm-tiny adatad=adatad_videomae-tiny
        export MMMA_TEST_DEVICE=cpu
        ;;
    *)
        echo "usage: $0 [--dry]" >&2
        exit 2
        ;;
esac

summary=()
failed=0

# run NAME SECONDS COMMAND...: the end of its output, and one line of the summary.
run() {
    local name=$1 limit=$2 code started=$SECONDS
    shift 2
    printf '\n== %s: %s\n' "$name" "$*"
    timeout "$limit" "$@" >"$OUT/$name.log" 2>&1
    code=$?
    tail -n 12 "$OUT/$name.log"
    ((code == 0)) || failed=1
    summary+=("$(printf '%-24s exit %3d  %4d s of %d' \
        "$name" "$code" $((SECONDS - started)) "$limit")")
}

bench() {
    local name=$1 limit=$2 script=$3
    shift 3
    run "$name" "$limit" "$PY" "benchmarks/$script.py" "$@"
}

train() {
    local name=$1 config=$2
    run "$name" 80 "$PY" tools/train.py "configs/$config.py" --fast-dev-run \
        --no-pretrained $amp --data-root "$OUT/data" --work-dir "$OUT/$name" \
        --cfg-options "train_dataloader.batch_size=$batch"
}

run 'tests' 240 "$PY" -m pytest -s -m cuda tests/test_gpu.py
tiny=(--what tia --arch tiny "${tia[@]}")
bench 'VideoMAE float32' 70 model "${vit[@]}" --device $device
bench 'VideoMAE bfloat16' 70 model "${vit[@]}" --amp --device $device
bench 'AdaTAD-tiny float32' 70 model "${tiny[@]}" --device $device
bench 'AdaTAD-tiny bfloat16' 70 model "${tiny[@]}" --amp --device $device
bench heatmaps 40 heatmap "${heatmap[@]}" --device $device
bench nms 40 nms ${nms[@]+"${nms[@]}"}
run 'simulated videos' 60 "$PY" tools/data/simulate.py "$OUT/data" \
    --scale tiny --modality video --videos $videos
train gctsm "recog/${gctsm}_mma82_indomain"
train adatad "det/${adatad}_mma82"
run 'two processes' 80 "$PY" -m torch.distributed.run --standalone --nproc-per-node 2 \
    tools/train.py "configs/recog/gctsm-tiny_mma82_indomain.py" --fast-dev-run \
    --launcher pytorch --data-root "$OUT/data" --work-dir "$OUT/two" \
    --cfg-options env_cfg.dist_cfg.backend=gloo
run 'changes on the device' 80 "$PY" tools/train.py \
    "configs/recog/${gctsm}_mma82_indomain.py" --fast-dev-run --no-pretrained $amp \
    --device-augment --data-root "$OUT/data" --work-dir "$OUT/changes" \
    --cfg-options "train_dataloader.batch_size=$batch"

printf '\n== Summary (logs in %s)\n' "$OUT"
printf '%s\n' "${summary[@]}"
exit $failed
