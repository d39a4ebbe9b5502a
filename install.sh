#!/usr/bin/env bash
# tidegate from a clone: makes .venv beside this file and runs what you ask for.
#
#   ./install.sh demo [--seconds N] ...   the agent on a replayed day, in this terminal
#   ./install.sh test [PYTEST ARGS]       ruff, mypy --strict and pytest, with what they need installed
#   ./install.sh test --hardware          the checks for this very device, with a report to attach to an issue
#   ./install.sh dev                      everything for developing and benchmarks
#   ./install.sh run -- COMMAND ...       any tidegate command in the venv, for example: run -- doctor
#
# Options (before the verb's own arguments):
#   --python PATH        the Python to use (3.11 or newer; default: python3, else the newest found)
#   --engine NAME        what runs the model: auto (default: onnx, packed and eager, whichever is best here), onnx
#                        (ONNX Runtime; no torch is installed), packed or eager (torch)
#   --torch-index URL    where pip finds torch alone, for example a CPU-only index. Without it pip's own
#                        settings decide, and on Linux x86_64 they may bring a build with several GB of CUDA.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
venv=${TIDEGATE_VENV:-$here/.venv}
python=""
torch_index=""
engine=auto

say() { printf '%s\n' "tidegate: $*" >&2; }
die() { say "$*"; exit 1; }

usage() { sed -n '2,/^set/p' "${BASH_SOURCE[0]}" | sed '$d; s/^# \{0,1\}//'; }

find_python() {
  local candidate
  for candidate in ${python:+"$python"} python3 python3.13 python3.12 python3.11; do
    if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      printf '%s\n' "$candidate"
      return
    fi
    [ -z "$python" ] || break
  done
  die "no Python >= 3.11 with venv found; install python3 and python3-venv (Debian, Raspberry Pi OS) or
  python@3.12 (Homebrew), or name one with --python PATH"
}

# Installs the extras that the verb needs, once per change of pyproject.toml.
ensure_venv() {
  local extras=$1 stamp
  stamp="$extras $(cksum < "$here/pyproject.toml")"
  [ "$(cat "$venv/.tidegate-$extras" 2>/dev/null)" = "$stamp" ] && return
  if [ ! -x "$venv/bin/python" ]; then
    say "making $venv"
    "$(find_python)" -m venv "$venv"
  fi
  say "installing tidegate[$extras] (the first time takes a minute or two)"
  if [ -n "$torch_index" ] && [[ ,$extras, == *,torch,* ]]; then
    local pin
    pin=$(sed -n 's/^ *"\(torch==[^"]*\)".*/\1/p' "$here/pyproject.toml")
    "$venv/bin/pip" install --quiet --disable-pip-version-check --index-url "$torch_index" "$pin"
  fi
  "$venv/bin/pip" install --quiet --disable-pip-version-check --editable "$here[$extras]"
  printf '%s' "$stamp" > "$venv/.tidegate-$extras"
}

# Debian packages that some tests drive for real. macOS has mosquitto from Homebrew; the rest is Linux only.
ensure_packages() {
  local missing=() package
  have() { PATH="$PATH:/usr/sbin:/usr/local/sbin:/opt/homebrew/sbin" command -v "$1" >/dev/null; }
  have mosquitto || missing+=(mosquitto)
  if [ "$(uname)" = Linux ]; then
    have umockdev-run || missing+=(umockdev)
    have fusermount3 || missing+=(fuse3)
    have unshare || missing+=(util-linux)
  fi
  [ ${#missing[@]} -eq 0 ] && return
  local as_root=()
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null && as_root=(sudo)
  fi
  if command -v apt-get >/dev/null && { [ "$(id -u)" = 0 ] || [ ${#as_root[@]} -gt 0 ]; }; then
    say "installing ${missing[*]} from the system's packages"
    # The broker that Debian starts with its package is not ours to run; tests start their own.
    if ${as_root[@]+"${as_root[@]}"} apt-get update -qq &&
      ${as_root[@]+"${as_root[@]}"} env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null; then
      return
    fi
  fi
  for package in "${missing[@]}"; do
    say "missing: $package. Install it (apt install $package, or brew install $package) or its tests are skipped."
  done
}

while [ $# -gt 0 ]; do
  case $1 in
    --python) python=${2:?--python needs a path}; shift 2 ;;
    --engine) engine=${2:?--engine needs a name}; shift 2 ;;
    --torch-index) torch_index=${2:?--torch-index needs a URL}; shift 2 ;;
    -h | --help) usage; exit 0 ;;
    *) break ;;
  esac
done
case $engine in
  auto) runtime=onnx,torch ;;
  onnx) runtime=onnx ;;
  packed | eager) runtime=torch ;;
  *) die "unknown engine '$engine'; the engines are auto, onnx, packed and eager" ;;
esac
verb=${1:-}
[ $# -eq 0 ] || shift

case $verb in
  demo)
    ensure_venv "$runtime"
    exec "$venv/bin/tidegate" demo "$@"
    ;;
  test)
    ensure_packages
    ensure_venv test
    cd "$here"
    if [ "${1:-}" = --hardware ]; then
      shift
      # -s: some checks ask to pull a plug.
      TIDEGATE_HARDWARE=1 exec "$venv/bin/python" -m pytest -s tests/hardware "$@"
    fi
    "$venv/bin/ruff" check .
    "$venv/bin/ruff" format --check .
    "$venv/bin/mypy"
    exec "$venv/bin/python" -m pytest -n 2 --dist loadfile "$@"
    ;;
  dev)
    ensure_packages
    ensure_venv dev
    say "ready: . $venv/bin/activate"
    ;;
  run)
    ensure_venv "$runtime"
    [ "${1:-}" = -- ] && shift
    exec "$venv/bin/tidegate" "$@"
    ;;
  "")
    usage
    exit 64
    ;;
  *)
    usage >&2
    die "unknown verb '$verb'; the verbs are demo, test, dev and run"
    ;;
esac
