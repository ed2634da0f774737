"""The door to the course: `python3 course.py lab | run | test`. Standard library only.

It finds a Python 3.11-3.13, makes `.venv`, installs the course there once, and hands over. It starts
on older ones too (3.6 and later: no annotations, no new syntax), so that they can say what is missing.
"""

import hashlib
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent
OLDEST, NEWEST = (3, 11), (3, 13)  # as requires-python in pyproject.toml; a test compares them
LINUX_GB, LINUX_MINUTES = 6.2, "2 to 10"  # measured: 6.2 GB, 2.5 minutes on a fast line; 3.2 GB come down
NEED_GB = 10  # measured at the peak, with the downloads that pip holds while it unpacks
BUSY = PermissionError if os.name == "nt" else BlockingIOError  # what a lock held by another process raises
UNREACHED = (  # signs of no network in pip's log, as Linux, macOS and Windows word them
    "name resolution",
    "getaddrinfo failed",
    "nodename nor servname",
    "name or service not known",
    "failed to establish a new connection",
    "network is unreachable",
    "connection refused",
    "connection reset",
    "connection broken",
    "cannot connect to proxy",
    "proxyerror",
    "timed out",
)

HELP = """\
falsework: train the models, then believe or refuse.

  python3 course.py lab     read and train along in JupyterLab, beginning at notebooks/00_the_world.ipynb
  python3 course.py run     execute the notebooks without a screen and print the verdicts
  python3 course.py test    check style, layers and types, then run the tests

What follows the command is handed on: to jupyter lab, to falsework run, to pytest.
The first call makes .venv and installs the course there; later calls start at once.
On Windows write py instead of python3.
"""


class Stop(Exception):
    """Raised for a fault outside this file; its message is one sentence for the person at the keyboard."""


# ---------------------------------------------------------------- which Python


def fits(version):
    """Say whether a version tuple lies in the range the course supports."""
    return OLDEST <= tuple(version[:2]) <= NEWEST


def dotted(version):
    return ".".join(map(str, version))


def candidates(windows, own):
    """List the commands to try, best first: the Python that runs this file, then the newest."""
    names = [f"3.{minor}" for minor in range(NEWEST[1], OLDEST[1] - 1, -1)]
    found = [[own]] + [["python" + name] for name in names]
    if windows:
        found += [["py", "-" + name] for name in names]
    return [*found, ["python3"], ["python"]]


def ask(command):
    """Return (version, has venv and ensurepip) of a Python command, or None if it is not one that starts."""
    code = (
        "import sys, importlib.util as u; "
        "print(*sys.version_info[:3], int(bool(u.find_spec('venv') and u.find_spec('ensurepip'))))"
    )
    try:  # a shim on PATH may exist and still refuse to run, so only an answer counts
        done = subprocess.run(
            [*command, "-c", code],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=30,
            env=clean_env(),
        )
        *version, whole = map(int, done.stdout.split())
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    return (tuple(version), bool(whole)) if done.returncode == 0 and len(version) == 3 else None


def find_python(commands, own_version, ask=ask):
    """Return (command, version) of the first Python that fits and can make a venv; otherwise raise `Stop`."""
    lame = None
    for command in commands:
        answer = ask(command)
        if answer and fits(answer[0]):
            if answer[1]:
                return command, answer[0]
            lame = lame or (command, answer[0])
    if lame:
        name, minor = " ".join(lame[0]), dotted(lame[1][:2])
        raise Stop(
            f"Python {minor} ({name}) lacks the module venv or ensurepip, and both are needed: on Debian or "
            f"Ubuntu run 'sudo apt install python{minor}-venv', elsewhere install a complete Python {minor}, "
            "then try again."
        )
    raise Stop(
        f"This is Python {dotted(own_version)} and no other is on PATH, but the course needs Python "
        f"{dotted(OLDEST)} to {dotted(NEWEST)}: install one of these, then try again."
    )


def own_python():
    """Return the Python running this file, or the one behind it if it lives in the .venv we may remove."""
    inside = Path(sys.prefix).resolve() == (ROOT / ".venv").resolve()
    return (getattr(sys, "_base_executable", None) or sys.executable) if inside else sys.executable


# ---------------------------------------------------------------- where things are, and whether they are done


def venv_python(root, windows=os.name == "nt"):
    return root / ".venv" / ("Scripts/python.exe" if windows else "bin/python")


def venv_version(root):
    """Return the version of the Python in .venv as a tuple, or None when there is no sound .venv."""
    try:
        text = (root / ".venv" / "pyvenv.cfg").read_text(encoding="utf-8")
    except OSError:
        return None
    found = re.search(r"^version(?:_info)?\s*=\s*(\d+)\.(\d+)\.(\d+)", text, re.MULTILINE)
    return tuple(map(int, found.groups())) if found else None


def stamp(root, version):
    """Return a digest of all that decides what is installed, and of the place: a copied .venv points back."""
    h = hashlib.sha256()
    for part in (root / "pyproject.toml", root / "constraints.txt"):
        h.update(hashlib.sha256(part.read_bytes()).digest())
    h.update(f"{dotted(version)} {root}".encode())
    return h.hexdigest()


def stamp_file(root):
    return root / ".venv" / "course.stamp"


def marker(root):
    """Return the file that exists while an install is under way, so that a broken-off one is seen."""
    return root / ".venv" / "course.installing"


def is_ready(root, windows=os.name == "nt"):
    """Say whether .venv holds what pyproject.toml and constraints.txt ask for, without starting anything."""
    version = venv_version(root)
    if not (version and venv_python(root, windows).exists() and not marker(root).exists()):
        return False
    try:
        return stamp_file(root).read_text(encoding="utf-8") == stamp(root, version)
    except OSError:
        return False


def clean_env(environ=os.environ):
    """Return the environment for every child, without what bends Python towards other places or keeps it slow.

    The install compiles nothing; PYTHONDONTWRITEBYTECODE would have every process compile torch again.
    """
    unwanted = ("PYTHONHOME", "PYTHONPATH", "__PYVENV_LAUNCHER__", "PYTHONDONTWRITEBYTECODE")
    env = {k: v for k, v in environ.items() if k not in unwanted}
    if not env.get("HOME", "unset"):
        del env["HOME"]  # an empty one would put caches into the working folder; unset, it is looked up
    return env


def venv_env(root, windows=os.name == "nt", environ=os.environ):
    """Return the environment with .venv switched on, so that JupyterLab's terminals know `falsework`."""
    env = clean_env(environ)
    env["VIRTUAL_ENV"] = str(root / ".venv")
    env["PATH"] = str(venv_python(root, windows).parent) + os.pathsep + env.get("PATH", os.defpath)
    return env


# ---------------------------------------------------------------- the install


def reason(log, root):
    """Turn the end of pip's log into one sentence on what went wrong and what helps."""

    def has(*signs):
        return any(sign.lower() in log.lower() for sign in signs)

    if has("no space left on device", "[errno 28]", "not enough space on the disk", "disk quota exceeded"):
        free = shutil.disk_usage(root).free / 1e9
        return (
            f"The disk ran full ({free:.1f} GB are free under {root}), but at least {NEED_GB} GB are needed "
            "during the install: free some space, then run the same command again."
        )
    if has("certificate_verify_failed", "sslcertverificationerror"):
        return (
            "The package index showed a certificate this machine does not trust, often a company proxy: "
            "set PIP_CERT to the proxy's certificate file, then run the same command again."
        )
    if has(*UNREACHED):
        return (
            "The package index could not be reached, and the first install needs the network: "
            "check the connection (or the proxy settings), then run the same command again."
        )
    missing = re.search(r"No matching distribution found for (\S+)", log)
    if missing:
        return (
            f"There is no build of {missing.group(1)} for this Python on {platform.system()} "
            f"{platform.machine()}: try another from {dotted(OLDEST)} to {dotted(NEWEST)} or another machine."
        )
    if has("permission denied", "access is denied", "winerror 5"):
        return f"A file in {root / '.venv'} may not be written: close JupyterLab or check the rights."
    return f"pip stopped for the reason above; its whole log is {root / '.venv' / 'install.log'}."


def short(seconds):
    return f"{seconds:.0f} s" if seconds < 60 else f"{seconds // 60:.0f} min {seconds % 60:.0f} s"


def stage(log):
    """Return in a few words what pip was doing at the end of its log."""
    for line in reversed(log.splitlines()):
        words = line.split()
        if line.startswith("Installing collected packages"):
            return f"unpacking {line.count(',') + 1} packages"
        if len(words) > 1 and words[0] in ("Downloading", "Collecting", "Processing", "Using"):
            size = re.search(r"\([\d.]+ [kMG]B\)", line)
            name = re.split(r"[-\[<>=!~;( ]", Path(words[2 if words[0] == "Using" else 1]).name)[0]
            verb = "downloading" if words[0] == "Downloading" else "reading"
            return f"{verb} {name}" + (f" {size.group()}" if size else "")
    return "starting"


def tail(path, characters=20_000):
    try:
        return path.read_text(encoding="utf-8", errors="replace")[-characters:]
    except OSError:
        return ""


def promise():
    if sys.platform == "linux":
        return f"PyTorch, JupyterLab and tools, about {LINUX_GB} GB in .venv, {LINUX_MINUTES} minutes"
    return "PyTorch, JupyterLab and tools, some GB in .venv (not measured on this system)"


def watch(process, log, began):
    """Keep one line on the screen until the process ends; into a file or a CI log, one line a minute."""
    screen, said = sys.stdout.isatty(), time.monotonic()
    while True:
        try:
            process.wait(timeout=0.5)
            break
        except subprocess.TimeoutExpired:
            pass
        now = time.monotonic()
        if screen or now - said >= 60:
            said = now
            line = f"  {short(now - began)} so far: {stage(tail(log))}"
            if screen:
                width = shutil.get_terminal_size().columns - 1
                sys.stdout.write("\r" + line[:width].ljust(width))
                sys.stdout.flush()
            else:
                print(line, flush=True)
    if screen:
        sys.stdout.write("\r" + " " * (shutil.get_terminal_size().columns - 1) + "\r")


def run_logged(command, root, env, keep, began):
    """Run one command of the install with its words in .venv/install.log; raise `Stop` if it fails."""
    log = root / ".venv" / "install.log"
    options = {"cwd": str(root), "env": env, "stdin": subprocess.DEVNULL, "stderr": subprocess.STDOUT}
    if keep is not None and os.name != "nt":
        options["pass_fds"] = (keep,)  # if we are killed outright, the pip left behind still holds the lock
    with open(str(log), "ab") as out:
        process = subprocess.Popen(command, stdout=out, **options)
        try:
            watch(process, log, began)
        finally:  # Ctrl-C or a kill: never leave pip writing behind our back
            if process.poll() is None:
                process.terminate()
                process.wait()
    if process.returncode:
        text = tail(log)
        print("\n".join("  | " + line[:300] for line in text.splitlines()[-12:]), flush=True)
        raise Stop(reason(text, root))


@contextmanager
def alone(root):
    """Let one install run at a time in this folder; yields the lock's descriptor, None where there is none.

    The lock sits on this very file, far behind its end: it needs no file of its own and hinders no reader.
    """
    with open(str(root / "course.py"), "rb") as handle:
        waited = False
        while True:
            try:
                if os.name == "nt":
                    import msvcrt

                    handle.seek(1 << 30)
                    msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)
                else:
                    import fcntl

                    fcntl.flock(handle.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BUSY:
                if not waited:
                    print("Another install is running in this folder: waiting for it.", flush=True)
                waited = True
                time.sleep(0.5)
            except OSError:  # some network disks cannot lock: then we go without
                yield None
                return
        yield handle.fileno()


def remove_venv(root):
    """Delete .venv; its pyvenv.cfg goes first, so that a half-deleted one is never taken for sound."""
    try:
        for first in (root / ".venv" / "pyvenv.cfg", root / ".venv"):
            if first.is_dir() and not first.is_symlink():
                shutil.rmtree(str(first))
            elif first.exists() or first.is_symlink():
                first.unlink()
    except OSError as error:
        raise Stop(
            f"The old .venv could not be removed ({error.strerror}: {error.filename}): "
            "close what uses it, then try again."
        ) from None


def unsound(root, version):
    """Say in half a sentence why the .venv that is there cannot be built upon; None if nothing is wrong."""
    python = str(venv_python(root))
    if marker(root).exists():
        return "An earlier install broke off"
    if version and not fits(version):
        return f".venv holds Python {dotted(version)}, which the course cannot use"
    if version:
        try:
            subprocess.run([python, "-c", "import pip"], check=True, stderr=subprocess.DEVNULL)
        except (OSError, subprocess.CalledProcessError):
            return "The Python or the pip of .venv is gone"
    return None


def install(root):
    """Make .venv hold what constraints.txt says: repair what a broken-off install left, add what lacks."""
    for needed in ("pyproject.toml", "constraints.txt"):
        if not (root / needed).is_file():
            raise Stop(f"{needed} is missing beside course.py: this is no whole clone, so clone again.")
    with alone(root) as keep:
        if is_ready(root):
            return  # the install we waited for did it
        began, version = time.monotonic(), venv_version(root)
        venv, python = root / ".venv", venv_python(root)
        fault = unsound(root, version)
        if fault:
            print(f"{fault}: .venv is made anew.", flush=True)
        env = clean_env()
        if fault or not version:
            command, version = find_python(candidates(os.name == "nt", own_python()), sys.version_info[:3])
            remove_venv(root)  # before the disk is measured
            free = shutil.disk_usage(str(root)).free / 1e9
            if sys.platform == "linux" and free < NEED_GB:
                raise Stop(
                    f"Only {free:.1f} GB are free under {root}, but at least {NEED_GB} GB are needed for "
                    "the install: free some space, then run the same command again."
                )
            print(f"Installing into .venv with Python {dotted(version)}: {promise()}.", flush=True)
            make_folder(venv)
            marker(root).touch()
            run_logged([*command, "-m", "venv", str(venv)], root, env, keep, began)
        else:
            print("Bringing .venv in line with pyproject.toml and constraints.txt.", flush=True)
            marker(root).touch()
        # Downloads wait in .venv, since /tmp may be a small disk in memory; PIP_USER would lead out of .venv.
        scratch = venv / "tmp"
        make_folder(scratch)
        env.update(TMPDIR=str(scratch), TEMP=str(scratch), TMP=str(scratch), PIP_USER="0")
        (venv / "install.log").write_bytes(b"")
        # Python compiles what it imports, when it does; compiling all of it here costs another 50 seconds.
        pip = [str(python), "-m", "pip", "install", "--no-compile"]
        what = ["--no-input", "--disable-pip-version-check", "--progress-bar", "off", "-c", "constraints.txt"]
        try:
            run_logged([*pip, *what, "-e", ".[dev]"], root, env, keep, began)
        finally:
            shutil.rmtree(str(scratch), ignore_errors=True)
        stamp_file(root).write_text(stamp(root, venv_version(root) or version), encoding="utf-8")
        marker(root).unlink()
        print(f"Installed in {short(time.monotonic() - began)}.", flush=True)


def make_folder(path):
    try:
        path.mkdir(exist_ok=True)
    except OSError as error:
        raise Stop(f"{path} cannot be made ({error.strerror}): clone to where you may write.") from None


# ---------------------------------------------------------------- the three commands


def stages(python, arguments):
    """List the test way: (name, command). All run, whatever the ones before said."""
    layers = "import sys; from importlinter.cli import lint_imports_command; sys.exit(lint_imports_command())"
    two = ["-n", "2", "--dist", "loadfile", "--no-loadscope-reorder"]
    return [
        ("ruff", [python, "-m", "ruff", "check", "."]),
        ("lint-imports", [python, "-c", layers]),
        ("mypy", [python, "-m", "mypy"]),
        # two at a time, a file stays together, in the order of the files: the notebooks, which train, begin first
        ("pytest", [python, "-m", "pytest", "-m", "not slow", *two, *arguments]),
    ]


def test(root, arguments, call=subprocess.call):
    """Run every stage, then say which held; returns the exit code."""
    rows = []
    for name, command in stages(str(venv_python(root)), arguments):
        print(f"\n== {name}", flush=True)
        began = time.monotonic()
        code = call(command, cwd=str(root), env=venv_env(root))
        rows.append((name, code, time.monotonic() - began))
    print("\n== summary")
    for name, code, seconds in rows:
        print(f"{name:<14}{'ok' if code == 0 else f'FAILED (exit code {code})':<24}{short(seconds)}")
    failed = [name for name, code, _ in rows if code]
    print(f"Not all holds: {', '.join(failed)} failed." if failed else "All stages hold.", flush=True)
    return 1 if failed else 0


def hand_over(command, root):
    """Become the command (on Windows, which cannot, wait for it), in the course's folder."""
    sys.stdout.flush()
    os.chdir(str(root))
    if os.name != "nt":
        os.execve(command[0], command, venv_env(root))
    process = subprocess.Popen(command, env=venv_env(root))
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:  # Ctrl-C reaches the child as well, and it decides
            continue


def main(arguments, root=ROOT):
    """Do what the first argument says; returns the exit code."""
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(HELP, end="")
        return 0
    command, rest = arguments[0], arguments[1:]
    if command not in ("lab", "run", "test"):
        print(f"The command is {command!r}, but must be one of 'lab', 'run', 'test'.\n", file=sys.stderr)
        print(HELP, end="", file=sys.stderr)
        return 2
    began = time.monotonic()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that a kill, too, takes pip along
    try:
        if not is_ready(root):
            install(root)
    except Stop as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:  # our own writes can meet a full disk too, not only pip's
        print(f"The install could not write {error.filename} ({error.strerror}): see to it, then try again.")
        return 1
    except KeyboardInterrupt:
        print(f"\nStopped after {short(time.monotonic() - began)}; the next call begins the install again.")
        return 130
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    python = str(venv_python(root))
    if command == "lab":
        return hand_over([python, "-m", "jupyterlab", "notebooks/00_the_world.ipynb", *rest], root)
    if command == "run":
        return hand_over([python, "-m", "falsework", "run", *rest], root)
    try:
        return test(root, rest)
    except KeyboardInterrupt:
        print("\nStopped before the end: nothing is proven.")
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
