#!/bin/bash
# Slurm: a sweep as an array of jobs, one for each seed; all write into one folder, which all nodes see.
#     job=$(sbatch --parsable sweep.sh)                                   # the array
#     sbatch --dependency=afterany:$job --wrap "bash sweep.sh"            # and, when it has ended, the table
# The second runs what the array did not finish, and writes the table of all. Change the notebook and the grid below.
#SBATCH --job-name=lmbook-sweep
#SBATCH --array=0-4
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=4
#SBATCH --time=02:00:00
# for a GPU each: #SBATCH --gpus-per-task=1
set -euo pipefail

notebook=${NOTEBOOK:-chapters/02_core_concepts/02_attention.ipynb}
out=${OUT:-build/sweep}
seeds=${SLURM_ARRAY_TASK_ID:-0,1,2,3,4} # this job's own, or all of them
export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1}

lmbook sweep "$notebook" --grid seed="$seeds" --jobs 1 --out "$out"
