#!/usr/bin/env bash
# Everything that a machine with a GPU can tell, in three calls of at most nine minutes each, nothing downloaded:
#
#   bench/device.sh [--call 1|2|3] [--wheel FILE | --no-build] [--python PYTHON] [--target DIR | --into-python]
#                   [options of bench/device/__main__.py]
#   bench/device.sh --plan          prints the calls, their parts and their seconds, on any machine
#   bench/device.sh --dry-run       the same program on the CPU with tiny sizes, on the package that is installed
#   bench/device.sh --merge FILE... joins the results files of several calls
#
# Builds for the GPU at hand into DIR (default: build/device-site), or with --into-python into PYTHON itself. --wheel
# installs a wheel that was built elsewhere, and builds here where it does not fit; --no-build takes what is in DIR or
# in PYTHON. Then it runs the parts of the call: tests, then measurements. After each part the results file of this
# GPU, the log and ncu's report are written to --out (default: $OUT, else bench/results, for a dry run bench/out), with
# all that earlier calls on such a GPU and on these sources have found: their files are looked for in bench/results, or
# named by --previous. The tables are printed last. A part that fails stops no other; then the exit status is not 0.
# BENCH_COMMIT names the commit where the sources are no git checkout.
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
SECONDS=0
limit=150  # seconds of the build: BUILD in bench/device/plan.py
python=python3 target=$root/build/device-site build=yes wheel='' measure=yes
options=()
[[ -n ${OUT:-} ]] && options+=(--out "$OUT")
while (($#)); do
  case $1 in
    --python) [[ $2 == */* ]] && python=$(realpath -s "$2") || python=$2; shift 2 ;;
    --target) mkdir -p "$2" && target=$(cd "$2" && pwd) && shift 2 ;;
    --into-python) target= && shift ;;
    --no-build) build= && shift ;;
    --wheel) wheel=$(realpath "$2") && shift 2 ;;
    --dry-run) build=dry && options+=("$1") && shift ;;
    --plan | --merge | --help | -h) measure= && options+=("$1") && shift ;;
    --out) mkdir -p "$2" && options+=(--out "$(cd "$2" && pwd)") && shift 2 ;;
    *) [[ -e $1 ]] && options+=("$(realpath "$1")") || options+=("$1"); shift ;;
  esac
done

# bench/__init__.py moves the root to the end of sys.path: the installed package is measured, not the source folder.
cd "$root" || exit 2
[[ -z $measure ]] && exec "$python" -m bench.device "${options[@]}"

export PIP_NO_INDEX=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
tools=$("$python" bench/device/tools.py) && export PATH=$PATH${tools:+:$tools}
log=$(mktemp)
into=()
if [[ -n $target && ! ($build == dry && -z $wheel && $target == "$root/build/device-site") ]]; then
  into=(--upgrade --target "$target")
  export PYTHONPATH=$target${PYTHONPATH:+:$PYTHONPATH}
fi
cuda=--cuda && [[ $build == dry ]] && cuda=

pip_install() {  # SECONDS WHAT: false where pip fails, its output in $log
  timeout "$1" "$python" -m pip install --quiet --no-build-isolation --no-deps "${into[@]}" "${@:2}" >>"$log" 2>&1
}

if [[ -n $wheel ]]; then
  if pip_install 60 "$wheel" && reason=$("$python" -m bench.device.installed $cuda 2>&1); then
    echo "installed $(basename "$wheel") in $SECONDS s"
    [[ $build == yes ]] && build=
  else
    echo "$(basename "$wheel") does not fit: ${reason:-$(tail -n 1 "$log")}" >&2
    [[ $build == dry ]] && exit 2
  fi
fi
if [[ $build == yes ]]; then
  if [[ -z ${LMF_CUDA_ARCHS:-} ]]; then
    LMF_CUDA_ARCHS=$("$python" -c 'import torch; print("%d%d" % torch.cuda.get_device_capability())' 2>/dev/null) || {
      echo "bench/device.sh: torch sees no CUDA device; --dry-run needs none." >&2
      exit 2
    }
  fi
  export LMF_CUDA_ARCHS LMF_BUILD_CUDA=ON CMAKE_BUILD_PARALLEL_LEVEL=${CMAKE_BUILD_PARALLEL_LEVEL:-$(nproc)}
  echo "build for architecture $LMF_CUDA_ARCHS ..."
  failed=
  if ! pip_install $((limit - 30 - SECONDS)) "$root"; then
    failed="no CUDA kernels: the build failed or took too long; Triton's kernels and the peers are measured"
    tail -n 40 "$log"
    LMF_BUILD_CUDA=OFF pip_install $((limit - SECONDS)) "$root" || failed="the build failed or took too long"
  fi
  echo "built in $SECONDS s"
  reason=$("$python" -m bench.device.installed 2>&1) || failed="${failed:-it left what cannot be used}: $reason"
  [[ -n $failed ]] && options+=(--build-failed "$failed")
elif [[ -z $build && -z $wheel ]]; then
  reason=$("$python" -m bench.device.installed $cuda 2>&1) || options+=(--build-failed "what is installed: $reason")
fi
rm -f "$log"
exec "$python" -m bench.device --spent "$SECONDS" "${options[@]}"
