#!/bin/sh
# tidegate from a clone: makes .venv beside this file and runs what you ask for.
#
#   ./install.sh demo [--seconds N] ...   the agent on a replayed day, in this terminal
#   ./install.sh test [PYTEST ARGS]       ruff, mypy --strict and pytest, with what they need installed
#   ./install.sh test --hardware          the checks for this very device, with a report to attach to an issue
#   ./install.sh soak [--minutes N]       an agent under load and disturbances: what fails, and whether it grows
#   ./install.sh build                    torch and what else building and reporting on bundles needs
#   ./install.sh dev                      everything for developing and for benchmarks
#   ./install.sh run -- COMMAND ...       any tidegate command in the venv, for example: run -- doctor
#
#   ./install.sh service [--user] ...     a service of this machine (systemd, launchd), without torch: docs/install.md
#   ./install.sh upgrade | rollback       a newer version on trial; the version before
#   ./install.sh apply                    brings a changed agent.yaml into force, and lets the service reach what it names
#   ./install.sh status | uninstall       how the service is; away with it
#   ./install.sh wheels DIR               a folder to install from without a network: service --wheels DIR
#
# Options (before the verb):
#   --python PATH        the Python to use (CPython 3.11 or newer; default: python3, else the newest found)
#   --engine NAME        what runs the model, and so what is installed for demo and run: onnx (ONNX Runtime, the
#                        default; on a Mac with MLX and Core ML beside it), litert (LiteRT), eager (torch), mlx, coreml,
#                        or auto (whichever of them are installed already, and the best of those for each point).
#                        Later commands keep to the choice.
#   --torch-index URL    where pip finds torch alone, for example a CPU-only index. Without it pip's own
#                        settings decide, and on Linux x86_64 they may bring a build with several GB of CUDA.
#
# TIDEGATE_VENV=PATH puts the virtual environment elsewhere, for a clone that can't be written to.
# Exit codes: 64 for a wrong command line, 69 when something that is needed is missing; else the command's own.
set -eu

# Plain sh on purpose: macOS has bash 3.2, many boards have dash or ash.
EX_USAGE=64
EX_UNAVAILABLE=69
ENGINES="auto, onnx, litert, eager, mlx and coreml"

say() { printf 'tidegate: %s\n' "$*" >&2; }
die() {
  code=$1
  shift
  say "$*"
  exit "$code"
}

self=$0
while [ -h "$self" ]; do
  link=$(readlink "$self")
  case $link in
    /*) self=$link ;;
    *) self=$(dirname "$self")/$link ;;
  esac
done
here=$(CDPATH='' cd -- "$(dirname "$self")" && pwd -P)
venv=${TIDEGATE_VENV:-$here/.venv}
case $venv in
  /*) ;;
  *) venv=$PWD/$venv ;;
esac
installed_file=$venv/.tidegate-installed
engine_file=$venv/.tidegate-engine
# Settings that would have Python or pip work on another installation than the one made here.
unset PYTHONHOME PIP_USER PIP_TARGET PIP_PREFIX

usage() { sed -n '2,/^set/p' "$self" | sed '$d; s/^# \{0,1\}//'; }

# --- Python ---------------------------------------------------------------------------------------------------

# Works in Python 2 as well, to tell its version. The working directory is no place to import from.
PROBE='
import sys
sys.path = [p for p in sys.path if p]
missing = []
for name in ("venv", "ensurepip", "ssl", "sqlite3"):
    try:
        __import__(name)
    except ImportError:
        missing.append(name)
kind = getattr(getattr(sys, "implementation", None), "name", "cpython")
if hasattr(sys, "pypy_version_info"):
    kind = "pypy"
ok = "old" if sys.version_info < (3, 11) else "new"
print("tidegate-python %s %s %d.%d.%d %s" % (ok, kind, sys.version_info[0], sys.version_info[1],
      sys.version_info[2], ",".join(missing) or "-"))
'

# Whether $1 can run tidegate; `fault` says why not.
usable_python() {
  fault=""
  case $1 in
    */*)
      if [ -d "$1" ]; then
        fault="$1 is a directory"
        for inside in "$1/bin/python3" "$1/python3"; do
          if [ -x "$inside" ]; then fault="$fault; $inside in it may be meant"; fi
        done
      elif [ ! -e "$1" ]; then
        fault="$1 does not exist"
      elif [ ! -x "$1" ]; then
        fault="$1 is not a program (it has no execute permission)"
      fi
      ;;
    *) command -v "$1" >/dev/null 2>&1 || fault="there is no $1 on PATH" ;;
  esac
  [ -z "$fault" ] || return 1
  told=$("$1" -c "$PROBE" 2>/dev/null </dev/null | sed -n '/^tidegate-python /p' | head -n 1) || told=""
  if [ -z "$told" ]; then
    words=$("$1" -c "$PROBE" 2>&1 </dev/null | head -n 1 | cut -c 1-90) || words=""
    fault="$1 does not run as Python${words:+ (it says: $words)}"
    return 1
  fi
  # shellcheck disable=SC2086  # five words, split on purpose
  set -- "$1" $told
  python_version=$5
  if [ "$4" != cpython ]; then
    fault="$1 is $4 $5, for which ONNX Runtime and torch are not built"
  elif [ "$3" = old ]; then
    fault="$1 is Python $5"
  elif [ "$6" != - ]; then
    fault="$1 is Python $5 without its module(s) $6"
    case $6 in
      *ensurepip* | *venv*) fault="$fault; on Debian, Ubuntu and Raspberry Pi OS: sudo apt install python3-venv" ;;
    esac
  fi
  [ -z "$fault" ]
}

NEEDED="tidegate needs CPython 3.11 or newer with venv.
  To get one: sudo apt install python3 python3-venv (Debian 12, Ubuntu 24.04, Raspberry Pi OS),
  sudo dnf install python3.12 (Fedora, RHEL), brew install python@3.12 (macOS), or https://www.python.org;
  then name it: ./install.sh --python PATH ..."

# Sets `found_python`, or ends.
find_python() {
  if [ -n "$python" ]; then
    usable_python "$python" || die $EX_UNAVAILABLE "--python: $fault.
  $NEEDED"
    found_python=$python
    return
  fi
  faults=""
  for candidate in python3 python3.13 python3.12 python3.11 python3.14; do
    if usable_python "$candidate"; then
      found_python=$candidate
      return
    fi
    case $fault in
      "there is no "* | *"does not run as Python"*) ;;
      *) faults="${faults:+$faults; }$fault" ;;
    esac
  done
  die $EX_UNAVAILABLE "found ${faults:-no Python on PATH}.
  $NEEDED"
}

# --- the virtual environment ----------------------------------------------------------------------------------

# Makes it if it is not there, and anew if it is broken: half made, or of a Python that is gone.
ensure_environment() {
  found_python=""
  if [ -n "$python" ]; then
    find_python
  fi
  if [ -e "$venv" ]; then
    if [ ! -d "$venv" ] || { [ ! -e "$venv/pyvenv.cfg" ] && [ -n "$(ls -A "$venv" 2>/dev/null)" ]; }; then
      die $EX_UNAVAILABLE "$venv is there and is no virtual environment; move it away, or name another place:
  TIDEGATE_VENV=PATH ./install.sh ..."
    fi
    broken=""
    if [ ! -x "$venv/bin/python" ] || ! "$venv/bin/python" -c '' >/dev/null 2>&1; then
      broken="its Python is gone or was never put in"
    elif ! usable_python "$venv/bin/python"; then
      broken="$fault"
    elif ! "$venv/bin/python" -P -m pip --version >/dev/null 2>&1; then
      broken="it has no pip, so it was only half made"
    elif [ -n "$found_python" ]; then
      has=$python_version
      usable_python "$found_python"
      [ "$has" = "$python_version" ] || broken="it is of Python $has, and --python names $python_version"
    fi
    [ -n "$broken" ] || return 0
    say "making $venv anew: $broken"
  fi
  [ -n "$found_python" ] || find_python
  parent=$(dirname "$venv")
  if ! mkdir -p "$parent" 2>/dev/null || [ ! -w "$parent" ] || { [ -e "$venv" ] && [ ! -w "$venv" ]; }; then
    die $EX_UNAVAILABLE "$parent can't be written to, so no virtual environment can be made there; name another place:
  TIDEGATE_VENV=\$HOME/tidegate-venv ./install.sh ..."
  fi
  usable_python "$found_python"
  say "making $venv with Python $python_version"
  if ! said=$("$found_python" -P -m venv --clear "$venv" 2>&1); then
    printf '%s\n' "$said" >&2
    die $EX_UNAVAILABLE "$found_python could not make $venv; $(free_space)"
  fi
}

free_space() {
  at=$venv
  while [ ! -d "$at" ]; do at=$(dirname "$at"); done
  df -Pk "$at" 2>/dev/null | awk 'NR == 2 { printf "%.0f MB are free on its disk", $4 / 1024 }'
}

# What is installed is for one pyproject.toml and one place: a clone that was moved is installed again.
stamp() { printf '%s %s' "$(cksum < "$here/pyproject.toml")" "$here"; }

is_installed() {
  [ "$(sed -n 1p "$installed_file" 2>/dev/null)" = "$(stamp)" ] || return 1
  case ",$(sed -n 2p "$installed_file")," in
    *",$1,"*) return 0 ;;
    *) return 1 ;;
  esac
}

# Notes extras ($1, comma-separated) as installed.
note_installed() {
  listed=""
  if [ "$(sed -n 1p "$installed_file" 2>/dev/null)" = "$(stamp)" ]; then
    listed=$(sed -n 2p "$installed_file")
  fi
  printf '%s\n%s\n' "$(stamp)" "${listed:+$listed,}$1" > "$installed_file"
}

# pip with its own progress; where no terminal shows that, a line every 20 s. $pip_log keeps what it said.
pip_install() {
  heart=""
  if [ ! -t 2 ]; then
    parent=$$
    (
      waited=0
      while sleep 20 >/dev/null 2>&1 && kill -0 "$parent" 2>/dev/null; do
        waited=$((waited + 20))
        say "pip is still at work, $waited s so far"
      done
    ) >&2 </dev/null &
    heart=$!
  fi
  result=0
  "$venv/bin/python" -P -m pip install --disable-pip-version-check --no-input --log "$pip_log" "$@" >&2 </dev/null ||
    result=$?
  if [ -n "$heart" ]; then
    kill "$heart" 2>/dev/null || :
    wait "$heart" 2>/dev/null || :
  fi
  return $result
}

pip_failed() {
  if grep -q 'No space left on device' "$pip_log" 2>/dev/null; then
    die $EX_UNAVAILABLE "no space left: $(free_space). $1. Make room and run the same command again"
  fi
  if grep -Eq 'NewConnectionError|NameResolutionError|name resolution|Network is unreachable|Connection refused|ConnectTimeout|ProxyError|SSLError' "$pip_log" 2>/dev/null; then
    die $EX_UNAVAILABLE "pip did not reach its package index. Check the network (and PIP_INDEX_URL or pip.conf if you use an
  index of your own), then run the same command again; what is downloaded already is kept"
  fi
  lacking=$(sed -n 's/.*No matching distribution found for \([A-Za-z0-9_.-]*\).*/\1/p' "$pip_log" 2>/dev/null | tail -n 1)
  if [ -n "$lacking" ]; then
    die $EX_UNAVAILABLE "there is no build of $lacking for Python $python_version on $(uname -s) $(uname -m); another Python may help:
  ./install.sh --python PATH ..."
  fi
  die $EX_UNAVAILABLE "pip could not install tidegate[$extras]; what it said stands above and in $pip_log"
}

# Installs the extras ($1, comma-separated) that are not there yet.
ensure_extras() {
  ensure_environment
  extras=""
  for extra in $(printf '%s' "$1" | tr , ' '); do
    is_installed "$extra" || extras=${extras:+$extras,}$extra
  done
  [ -n "$extras" ] || return 0
  if [ ! -w "$venv" ]; then
    die $EX_UNAVAILABLE "$venv can't be written to, and tidegate[$extras] is not installed in it; run this as its owner, or name
  another place: TIDEGATE_VENV=PATH ./install.sh ..."
  fi
  need_supported_mac
  usable_python "$venv/bin/python" || :
  say_what_a_mac_lacks "$extras"
  pip_log=$venv/.tidegate-pip.log
  : > "$pip_log"
  case ",$extras," in
    *,torch,* | *,test,* | *,dev,*)
      say "installing tidegate[$extras], torch among it: about 200 MB to download and 1 GB on the disk where it is built
  without CUDA, several GB where pip takes the build with CUDA (Linux x86_64, unless --torch-index names
  an index without); this takes minutes. $(free_space)"
      if [ -n "$torch_index" ]; then
        pin=$(sed -n 's/^ *"\(torch[<>=][^"]*\)".*/\1/p' "$here/pyproject.toml")
        pip_install --index-url "$torch_index" "$pin" || pip_failed "torch without CUDA takes about 1 GB"
      fi
      ;;
    *) say "installing tidegate[$extras], without torch: about 60 MB to download, 250 MB on the disk; a minute or two" ;;
  esac
  # From source the embedded broker needs Rust; a machine without a build of it does without.
  if ! pip_install --only-binary iotcore --editable "$here[$extras]"; then
    case ",$extras," in
      *,broker,*) ;;
      *) pip_failed "tidegate[$extras] did not fit" ;;
    esac
    grep -q 'No matching distribution found for iotcore' "$pip_log" || pip_failed "tidegate[$extras] did not fit"
    rest=$(printf '%s' ",$extras," | sed 's/,broker,/,/; s/^,//; s/,$//')
    : > "$pip_log"
    pip_install --editable "$here${rest:+[$rest]}" || pip_failed "tidegate[$rest] did not fit"
    say "there is no build of the embedded MQTT broker (iotcore) for this machine; to see a policy pushed in the demo, install
  mosquitto: sudo apt install mosquitto, sudo dnf install mosquitto, or brew install mosquitto"
  fi
  case ",$extras," in
    *,test,* | *,dev,*) extras=$extras,torch,onnx,data,plot,broker ;;
  esac
  note_installed "$extras"
}

# --- the engine -----------------------------------------------------------------------------------------------

# Sets `runtime`, the extra that the engine needs: the one named now, else the one named before, else ONNX Runtime.
choose_runtime() {
  before=$(cat "$engine_file" 2>/dev/null || :)
  chosen=${engine:-${before:-onnx}}
  case $chosen in
    onnx) runtime=onnx ;;
    litert) runtime=litert ;;
    eager) runtime=torch ;;
    mlx) runtime=apple ;;
    coreml)
      is_mac || die $EX_UNAVAILABLE "Core ML serves on Macs with Apple Silicon alone; here packages can be written:
  ./install.sh build, then tidegate bundle coreml BUNDLE --out DIRECTORY"
      runtime=apple
      ;;
    auto)
      runtime=onnx
      if is_installed torch && ! is_installed onnx; then runtime=torch; fi
      ;;
    *) die $EX_USAGE "$engine_file holds '$chosen', which is no engine; name one with --engine $(printf '%s' "$ENGINES" | sed 's/ and / or /')" ;;
  esac
  # A Mac has MLX and Core ML too, unless one engine is asked for.
  if is_mac && { [ "$chosen" = auto ] || [ -z "$engine$before" ]; }; then
    runtime=onnx,apple
  fi
}

is_mac() { [ "$(uname -s)" = Darwin ]; }

# Ends where no runtime is built for this Mac.
need_supported_mac() {
  is_mac || return 0
  if [ "$(uname -m)" != arm64 ]; then
    if [ "$(sysctl -n sysctl.proc_translated 2>/dev/null || :)" = 1 ]; then
      die $EX_UNAVAILABLE "this shell runs under Rosetta, as on an Intel processor, for which no runtime is built; run it natively:
  arch -arm64 /bin/sh ./install.sh ..."
    fi
    die $EX_UNAVAILABLE "this Mac has an Intel processor, for which ONNX Runtime, MLX and torch are built no longer; tidegate runs on
  Macs with Apple Silicon, and on Linux"
  fi
  release=$(sw_vers -productVersion 2>/dev/null || :)
  case ${release%%.*} in
    "" | *[!0-9]*) return 0 ;;
  esac
  if [ "${release%%.*}" -lt 14 ]; then
    die $EX_UNAVAILABLE "this Mac has macOS $release; ONNX Runtime and MLX are built for macOS 14 (Sonoma) or newer, and Core ML serves
  from 15 on: update macOS in System Settings"
  fi
}

# What of the extra `apple` this Mac goes without, and how to have it.
say_what_a_mac_lacks() {
  is_mac || return 0
  case ",$1," in
    *,apple,*) ;;
    *) return 0 ;;
  esac
  case $python_version in
    3.1[1-3].*) ;;
    *) say "there is no coremltools for Python $python_version, so Core ML is left out; --python python3.13 has it" ;;
  esac
  case $(sw_vers -productVersion 2>/dev/null || :) in
    14 | 14.*) say "Core ML serves from macOS 15 on; on macOS 14 MLX and ONNX Runtime do" ;;
  esac
}

# After the installation, so that a choice that could not be installed is not kept.
remember_engine() {
  [ -n "$engine" ] || return 0
  if [ "$engine" != "$before" ]; then
    say "engine: $engine from now on${before:+ (it was $before)}; another --engine changes it"
    printf '%s\n' "$engine" > "$engine_file"
  fi
}

# --- what tests need of the system ----------------------------------------------------------------------------

have() (
  PATH="$PATH:/usr/sbin:/usr/local/sbin:/opt/homebrew/sbin"
  command -v "$1" >/dev/null 2>&1
)

# Debian packages that some tests drive for real. macOS has mosquitto from Homebrew; the rest is Linux only.
ensure_packages() {
  missing=""
  have mosquitto || missing="$missing mosquitto"
  if [ "$(uname)" = Linux ]; then
    have umockdev-run || missing="$missing umockdev"
    have fusermount3 || missing="$missing fuse3"
    have unshare || missing="$missing util-linux"
    have upsd || missing="$missing nut-server"
    have openssl || missing="$missing openssl"
    have ssh-agent || missing="$missing openssh-client"
    have systemd-nspawn || missing="$missing systemd-container"
  fi
  [ -n "$missing" ] || return 0
  as_root=""
  if [ "$(id -u)" != 0 ]; then
    if have sudo; then as_root=sudo; fi
  fi
  if have apt-get && { [ "$(id -u)" = 0 ] || [ -n "$as_root" ]; }; then
    say "installing$missing from the system's packages"
    # The broker that Debian starts with its package is not ours to run; tests start their own.
    # shellcheck disable=SC2086  # package names, split on purpose
    if $as_root apt-get update -qq >&2 &&
      $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null; then
      return 0
    fi
  fi
  installer="apt install"
  if [ "$(uname)" = Darwin ]; then
    installer="brew install"
  elif have dnf; then
    installer="dnf install"
  fi
  for package in $missing; do
    say "missing: $package. Install it ($installer $package) or its tests are skipped."
  done
}

# --- the command line -----------------------------------------------------------------------------------------

python=""
torch_index=""
engine=""
value() {
  [ $# -ge 2 ] && [ -n "$2" ] || die $EX_USAGE "$1 needs a value; ./install.sh --help shows which"
}
while [ $# -gt 0 ]; do
  case $1 in
    --python) value "$@"; python=$2; shift 2 ;;
    --engine) value "$@"; engine=$2; shift 2 ;;
    --torch-index) value "$@"; torch_index=$2; shift 2 ;;
    --python=*) python=${1#*=}; value --python "$python"; shift ;;
    --engine=*) engine=${1#*=}; value --engine "$engine"; shift ;;
    --torch-index=*) torch_index=${1#*=}; value --torch-index "$torch_index"; shift ;;
    -h | --help) usage; exit 0 ;;
    -*) die $EX_USAGE "unknown option '$1'; the options are --python, --engine and --torch-index, and stand before the verb" ;;
    *) break ;;
  esac
done
case $python in
  [0-9]*) python=python$python ;; # a version for a name
esac
case $engine in
  "" | auto | onnx | litert | eager | mlx | coreml) ;;
  *) die $EX_USAGE "unknown engine '$engine'; the engines are $ENGINES" ;;
esac
verb=${1:-}
[ $# -eq 0 ] || shift

case $verb in
  demo)
    choose_runtime
    ensure_extras "$runtime,broker"
    remember_engine
    if [ "$chosen" != auto ] && [ -n "$engine$before" ]; then
      set -- --engine "$chosen" "$@"
    fi
    exec "$venv/bin/tidegate" demo "$@"
    ;;
  test)
    ensure_packages
    ensure_extras test
    cd "$here"
    if [ "${1:-}" = --hardware ]; then
      shift
      # -s: some checks ask to pull a plug.
      TIDEGATE_HARDWARE=1 exec "$venv/bin/python" -m pytest -s tests/hardware "$@"
    fi
    "$venv/bin/python" -m ruff check .
    "$venv/bin/python" -m ruff format --check .
    # Beside mypy, on another core: in a fresh clone each of the workers would compile every test for itself.
    "$venv/bin/python" -m pytest --collect-only -qq "$@" >/dev/null 2>&1 &
    collecting=$!
    "$venv/bin/python" -m mypy || { kill "$collecting"; exit 1; }
    wait "$collecting" || : # the run below says what is wrong
    exec "$venv/bin/python" -m pytest -n 4 --dist loadfile --no-loadscope-reorder "$@"
    ;;
  build)
    choose_runtime
    ensure_extras "$runtime,torch,data,plot"
    remember_engine
    say "ready: . '$venv/bin/activate', then tidegate bundle build --help"
    ;;
  dev)
    ensure_packages
    ensure_extras dev
    say "ready: . '$venv/bin/activate'"
    ;;
  soak)
    choose_runtime
    ensure_extras "$runtime,broker"
    remember_engine
    exec "$venv/bin/tidegate" bench soak "$@"
    ;;
  run)
    choose_runtime
    ensure_extras "$runtime"
    remember_engine
    [ "${1:-}" != -- ] || shift
    exec "$venv/bin/tidegate" "$@"
    ;;
  service | upgrade | rollback | apply | uninstall | status | wheels)
    # The first choice, because a service's sandbox hides home directories, where version managers keep theirs.
    if [ -z "$python" ] && usable_python /usr/bin/python3; then
      python=/usr/bin/python3
    fi
    find_python
    PYTHONPATH=$here/agent
    export PYTHONPATH
    # -B: a service's installation, often root's, leaves no bytecode in a user's clone.
    exec "$found_python" -P -s -B -m tidegate.service "$verb" "$@"
    ;;
  "")
    usage >&2
    exit $EX_USAGE
    ;;
  *) die $EX_USAGE "unknown verb '$verb'; the verbs are demo, test, soak, build, dev and run, service,
  upgrade, rollback, apply, uninstall, status and wheels, and ./install.sh --help tells what they do" ;;
esac
