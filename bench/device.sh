#!/usr/bin/env bash
# Everything that a machine with a GPU can tell, in one command and under eight minutes, nothing downloaded:
#
#   bench/device.sh [--python PYTHON] [--target DIR | --into-python] [--no-build] [options of bench/device/__main__.py]
#
# Builds for the GPU at hand into DIR (default: build/device-site), or with --into-python into PYTHON itself; runs the
# tests marked gpu, then measures; writes JSON, a log and ncu's report to --out (default: $OUT, else bench/results for a
# complete run and bench/out for any other) and prints the tables last. A part that fails stops no other; then the exit
# status is not 0. BENCH_COMMIT names the commit where the sources are no git checkout.
#
#   bench/device.sh --dry-run       the same program on the CPU with tiny sizes, on the package that is installed
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
SECONDS=0
python=python3 target=$root/build/device-site build=yes
options=()
[[ -n ${OUT:-} ]] && options+=(--out "$OUT")
while (($#)); do
  case $1 in
    --python) python=$2 && shift 2 ;;
    --target) mkdir -p "$2" && target=$(cd "$2" && pwd) && shift 2 ;;
    --into-python) target= && shift ;;
    --no-build) build= && shift ;;
    --dry-run) build= && options+=("$1") && shift ;;
    --out) mkdir -p "$2" && options+=(--out "$(cd "$2" && pwd)") && shift 2 ;;
    *) options+=("$1") && shift ;;
  esac
done

export PIP_NO_INDEX=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
if [[ -n $build ]]; then
  if [[ -z ${LMF_CUDA_ARCHS:-} ]]; then
    LMF_CUDA_ARCHS=$("$python" -c 'import torch; print("%d%d" % torch.cuda.get_device_capability())' 2>/dev/null) || {
      echo "bench/device.sh: torch sees no CUDA device; --dry-run needs none." >&2
      exit 2
    }
  fi
  export LMF_CUDA_ARCHS LMF_BUILD_CUDA=ON CMAKE_BUILD_PARALLEL_LEVEL=${CMAKE_BUILD_PARALLEL_LEVEL:-$(nproc)}
  echo "build for architecture $LMF_CUDA_ARCHS ..."
  into=() log=$(mktemp)
  [[ -n $target ]] && into=(--upgrade --target "$target")
  if timeout 150 "$python" -m pip install --quiet --no-build-isolation --no-deps "${into[@]}" "$root" >"$log" 2>&1; then
    echo "built in $SECONDS s"
  else
    tail -n 40 "$log" >&2
    options+=(--build-failed "it failed or took more than 150 s; what was installed before is measured, if anything")
  fi
  rm -f "$log"
  [[ -n $target ]] && export PYTHONPATH=$target${PYTHONPATH:+:$PYTHONPATH}
fi

minutes=$(awk -v spent="$SECONDS" 'BEGIN { print 7.7 - spent / 60 }')

# From bench/: the repository root must not be on sys.path, or the source folder would hide the installed package.
cd "$root/bench" && exec "$python" -m device --minutes "$minutes" "${options[@]}"
