#!/usr/bin/env bash
#SBATCH --job-name=omnitrack
#SBATCH --cpus-per-task=4
#SBATCH --mem=8G
#SBATCH --time=02:00:00
#SBATCH --signal=TERM@120
#SBATCH --requeue
#SBATCH --open-mode=append
# Many clips on a Slurm cluster, one per task of a job array; videos.txt lists one per line:
#
#     sbatch --array=1-"$(wc -l < videos.txt)" examples/slurm_array.sh videos.txt work
#
# Each task has its own project, work/LINE, and shares nothing with the others. Slurm warns two minutes before the time
# limit: the task saves and ends. A requeued task, or the same command entered again, resumes from there.
set -euo pipefail

list=$1
work=$2
line=${SLURM_ARRAY_TASK_ID:?submit this with sbatch --array}

video=$(sed -n "${line}p" "$list")
if [ -z "$video" ]; then
    echo "error: $list has no line $line" >&2
    exit 2
fi
exec omnitrack run "$video" "$work/$line" # replaces the shell, so that Slurm's signal reaches it
