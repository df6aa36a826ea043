#!/bin/bash
# A command of hydra-ray (`run`, `fit-users`, ...) on a SLURM allocation: srun starts one Ray node per machine, the
# command runs on the first of them.
#
#   sbatch cluster/slurm.sh run --config configs/quickstart.yaml root=/shared/runs
#   sbatch --nodes=4 --gpus-per-node=1 --time=48:00:00 cluster/slurm.sh run --config FILE root=/shared/runs
#   tail -f hydra-ray-JOB.out
#
# `root` must be a folder that all machines see. A job that loses a machine is queued again by SLURM, and continues where
# it stopped; so does one that ended early (time limit, scancel) when the same command is given again. VENV names the
# environment with hydra-ray, where it is not active: `VENV=/shared/venv sbatch ...`. The LLM's key travels in the
# environment (HYDRA_RAY_LLM_API_KEY). TLS=1 encrypts what Ray's nodes say to each other, with certificates of the job's
# own (openssl on every machine); then submit the job where cluster/certificates.sh is, or name that file in
# CERTIFICATES.
#SBATCH --job-name=hydra-ray
#SBATCH --output=hydra-ray-%j.out
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --time=24:00:00
# Two minutes before the time limit the run is asked to stop.
#SBATCH --signal=B:TERM@120
# After a machine was lost, whatever the cluster's default.
#SBATCH --requeue
#SBATCH --open-mode=append
set -euo pipefail

[ $# -gt 0 ] || {
    echo "slurm.sh: give a command of hydra-ray and its arguments, such as run --config FILE" >&2
    exit 2
}
if [ -n "${VENV:-}" ]; then PATH="$VENV/bin:$PATH"; fi
command -v hydra-ray > /dev/null || {
    echo "slurm.sh: hydra-ray is not found: activate its environment, or set VENV" >&2
    exit 2
}

case "${TLS:=0}" in
    0 | 1) ;;
    *)
        echo "slurm.sh: TLS=$TLS: give 1 to encrypt what Ray's nodes say to each other, or 0" >&2
        exit 2
        ;;
esac

# Several jobs may share a machine: ports, folder and token are this job's own. Ray keeps sockets and logs in the folder,
# whose name must be short, on a disk of the machine's own.
export RAY_TMPDIR="${RAY_TMPDIR:-/tmp}/ray-$SLURM_JOB_ID"
make_folder() {
    if ! (umask 077; mkdir -p "$RAY_TMPDIR") || ! [ -O "$RAY_TMPDIR" ]; then
        echo "slurm.sh: $(hostname): $RAY_TMPDIR cannot be used: set RAY_TMPDIR to a folder of your own" >&2
        exit 2
    fi
}
export -f make_folder
make_folder
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN
RAY_AUTH_TOKEN=$(python -c 'import secrets; print(secrets.token_hex(32))')
export RAY_USAGE_STATS_ENABLED=0 RAY_TRAIN_V2_ENABLED=1
# What is asked to end has half a minute until SLURM kills it; nothing is served that would have to move before.
export RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S=0
export TLS CERTIFICATES="${CERTIFICATES:-$PWD/cluster/certificates.sh}"
[ "$TLS" != 1 ] || [ -x "$CERTIFICATES" ] || {
    echo "slurm.sh: $CERTIFICATES is not there: submit from the repository's root, or set CERTIFICATES" >&2
    exit 2
}
port=$((20000 + SLURM_JOB_ID % 10000))
export CLIENT_PORT=$((port + 10000))
head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
# The address at which the others reach the first machine, and not one that only it knows.
ip=$(python -c 'import socket, sys; print(socket.gethostbyname(sys.argv[1]))' "$head")
case "$ip" in 127.*) ip=$(hostname -I | cut -d " " -f 1) ;; esac
export HEAD_ADDRESS="$ip:$port"
if [ "$TLS" = 1 ]; then
    # The authority travels to the machines as the token does; each issues its own certificate.
    "$CERTIFICATES" authority "$RAY_TMPDIR/authority"
    "$CERTIFICATES" node "$RAY_TMPDIR/authority" "$RAY_TMPDIR/tls" "$ip" "$head"
    AUTHORITY_CRT=$(cat "$RAY_TMPDIR/authority/ca.crt") AUTHORITY_KEY=$(cat "$RAY_TMPDIR/authority/ca.key")
    rm -r "$RAY_TMPDIR/authority"
    export AUTHORITY_CRT AUTHORITY_KEY RAY_USE_TLS=1 RAY_TLS_SERVER_CERT="$RAY_TMPDIR/tls/node.crt"
    export RAY_TLS_SERVER_KEY="$RAY_TMPDIR/tls/node.key" RAY_TLS_CA_CERT="$RAY_TMPDIR/tls/ca.crt"
fi

log="hydra-ray-$SLURM_JOB_ID.ray.out"
# Ray takes GPUs from CUDA_VISIBLE_DEVICES, which SLURM sets. Task 0 is on the first machine, like this script.
# shellcheck disable=SC2016  # expanded on each machine
srun --nodes="$SLURM_JOB_NUM_NODES" --ntasks="$SLURM_JOB_NUM_NODES" --ntasks-per-node=1 --kill-on-bad-exit=1 bash -c '
    command -v ray > /dev/null || {
        echo "slurm.sh: $(hostname): ray is not found: hydra-ray must be in the same place on every machine" >&2
        exit 2
    }
    make_folder
    trap "rm -rf \"\$RAY_TMPDIR\"" EXIT
    trap "exit 0" TERM
    if [ "$TLS" = 1 ] && [ "$SLURM_PROCID" != 0 ]; then
        (umask 077; mkdir -p "$RAY_TMPDIR/authority"; cd "$RAY_TMPDIR/authority"
         printf "%s\n" "$AUTHORITY_CRT" > ca.crt; printf "%s\n" "$AUTHORITY_KEY" > ca.key)
        "$CERTIFICATES" node "$RAY_TMPDIR/authority" "$RAY_TMPDIR/tls"
        rm -r "$RAY_TMPDIR/authority"
    fi
    unset AUTHORITY_CRT AUTHORITY_KEY
    cpus=(${SLURM_CPUS_PER_TASK:+--num-cpus="$SLURM_CPUS_PER_TASK"})
    if [ "$SLURM_PROCID" = 0 ]; then
        ray start --head --node-ip-address="${HEAD_ADDRESS%:*}" --port="${HEAD_ADDRESS##*:}" \
            --ray-client-server-port="$CLIENT_PORT" --include-dashboard=false --disable-usage-stats --block "${cpus[@]}"
        exit
    fi
    # The head may take its time.
    for _ in $(seq 60); do
        ray health-check --address "$HEAD_ADDRESS" > /dev/null 2>&1 && break
        sleep 2
    done
    ray start --address="$HEAD_ADDRESS" --disable-usage-stats --block "${cpus[@]}"
' >> "$log" 2>&1 &
export NODES=$!
unset AUTHORITY_CRT AUTHORITY_KEY
# shellcheck disable=SC2317  # called by the trap
finish() {
    kill "$NODES" 2> /dev/null || true
    wait "$NODES" 2> /dev/null || true
    # Their tasks were killed and could not do this. Where the job itself is being ended, they could.
    timeout 60 srun --nodes="$SLURM_JOB_NUM_NODES" --ntasks-per-node=1 rm -rf "$RAY_TMPDIR" 2> /dev/null || true
    rm -rf "$RAY_TMPDIR"
}
trap finish EXIT

echo "waiting for $SLURM_JOB_NUM_NODES Ray nodes at $HEAD_ADDRESS"
python - <<'END' || {
import os, sys, time
import ray

address, wanted = os.environ["HEAD_ADDRESS"], int(os.environ["SLURM_JOB_NUM_NODES"])
deadline, here = time.monotonic() + 300, 0
while here < wanted:
    if time.monotonic() > deadline or not os.path.exists(f"/proc/{os.environ['NODES']}"):
        sys.exit(1)
    try:
        if not ray.is_initialized():
            ray.init(address, log_to_driver=False, logging_level="error")
        here = sum(node["Alive"] for node in ray.nodes())
    except ConnectionError:
        pass
    time.sleep(1)
END
    echo "slurm.sh: not all of the $SLURM_JOB_NUM_NODES Ray nodes have started; $log says why" >&2
    exit 1
}

hydra-ray "$@" ray.address="$HEAD_ADDRESS" &
run=$!
trap 'kill -TERM "$run" 2> /dev/null' TERM
code=0
wait "$run" || code=$?
# A signal ends the first wait; the run then takes its leave.
while kill -0 "$run" 2> /dev/null; do code=0; wait "$run" || code=$?; done
exit "$code"
