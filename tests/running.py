"""Run the commands as a user does, each in a process of its own, and look at what they leave."""

import faulthandler
import fcntl
import functools
import gc
import hashlib
import multiprocessing
import os
import runpy
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import soundfile as sf

# More is a hang: nothing here takes so long on a machine that is busy with other work, and a run whose other process is gone
# would wait twice as long (--wait_minutes).
TIMEOUT_S = 300
os.environ["HF_HUB_OFFLINE"] = "1"  # no test asks the network

# Importing torch, transformers, the notebook's libraries and the package takes eight seconds. A server process does it once
# and forks for each command and each notebook: threads, seeds, environment variables and imports of one do not reach the
# next. Commands are not imported: a fork runs its own as `__main__`.
_PACKAGE = Path(__file__).resolve().parents[1] / "layerwise_nb"
_MODULES = sorted(p for p in _PACKAGE.glob("*/*.py") if p.stem != "__init__")
PRELOADED = [
    "torch", "torchaudio", "transformers.models.hubert.modeling_hubert", "transformers.models.whisper.modeling_whisper",
    "scipy.stats", "scipy.signal", "sklearn.linear_model", "matplotlib.pyplot", "plotly.graph_objects", "ipywidgets",
    "soundfile", "nbdev.test", "fastcore.test", *(f"layerwise_nb.{p.parent.name}.{p.stem}" for p in _MODULES),
]  # fmt: skip
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(PRELOADED)


def forked(target: Callable, *args) -> multiprocessing.Process:
    """A process of the server that runs a function.

    Math threads share the cores with the other pytest workers: oversubscribed they spin, and the run takes several times as
    long. Their number is set here, before the server starts, and not when this file is imported: pytest's own process
    imports it too, is no worker, and would hand its number on to the workers.
    """
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 1))
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # where there are more threads than one, they do not spin
    process = FORKS.Process(target=_in_fork, args=(target, *args))
    process.start()
    return process


def _in_fork(target: Callable, *args) -> None:
    gc.freeze()  # what the server has imported is not looked through again
    target(*args)


@dataclass
class Result:
    """How a command ended."""

    status: int  # negative: the signal that killed it
    out: str
    err: str


class Command:
    """A command that is running: `layerwise_<module>` with the given flags."""

    def __init__(self, module: str, *flags, prepare: Callable | None = None, **env: str):
        self._output = tempfile.TemporaryDirectory()
        for name in ("out", "err"):
            Path(self._output.name, name).touch()  # it may be killed before it says anything
        self.process = forked(_run_module, module, list(map(str, flags)), self._output.name, os.getcwd(), env, prepare)

    def kill(self, number: int = signal.SIGKILL) -> None:
        os.kill(self.process.pid, number)

    def wait_to_stop(self) -> None:
        """Until it has stopped itself (`stop_at`)."""
        end, process = time.monotonic() + TIMEOUT_S, psutil.Process(self.process.pid)
        while process.status() != psutil.STATUS_STOPPED:
            assert self.process.is_alive() and time.monotonic() < end, "it ended, or never stopped"
            time.sleep(0.01)

    def wait_to_say(self, words: str, where: str = "err") -> str:
        """What it has said on its standard error (or `out`put) when these words are there."""
        end = time.monotonic() + TIMEOUT_S
        while words not in (said := Path(self._output.name, where).read_text(encoding="utf-8")):
            assert self.process.is_alive() and time.monotonic() < end, f"it never said {words!r}, but {said!r}"
            time.sleep(0.01)
        return said

    def said(self) -> str:
        """The end of its standard error; empty when it is done."""
        path = Path(self._output.name, "err")
        return path.read_text(encoding="utf-8")[-4000:] if path.exists() else ""

    def wait(self) -> Result:
        """Its result; whatever happens, nothing is left running."""
        self.process.join(TIMEOUT_S)
        if self.process.exitcode is None:
            self.process.kill()
            raise TimeoutError(f"still running after {TIMEOUT_S} s; it said {self.said()!r}")
        out, err = (Path(self._output.name, name).read_text(encoding="utf-8") for name in ("out", "err"))
        self._output.cleanup()
        return Result(self.process.exitcode, out, err)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.kill()


def _run_module(module: str, flags: list[str], output: str, folder: str, env: dict, prepare: Callable | None) -> None:
    for descriptor, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(f"{output}/{name}", os.O_WRONLY | os.O_CREAT), descriptor)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a suite that runs in the background ignores
    os.chdir(folder)
    os.environ.update(env)
    sys.argv = [f"layerwise_{module}", *flags]
    faulthandler.dump_traceback_later(TIMEOUT_S - 30)  # where it hangs is said where it is waited for
    if prepare:
        prepare()
    runpy.run_module(f"layerwise_nb.{module}", run_name="__main__")


def run(module: str, *flags, **env: str) -> Result:
    """Run a command to its end."""
    return Command(module, *flags, **env).wait()


def extract(*flags, **env: str) -> Result:
    return run("extract", "--device", "cpu", *flags, **env)


# ---- Several processes


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def start_ranks(count: int, module: str, *flags, prepare: Callable | None = None, **env: str) -> list[Command]:
    """The processes that a launcher starts, in the environment that it gives them; each a fork, so they start at once."""
    env |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "ACCELERATE_USE_CPU": "true"}
    env |= {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count)}
    ranks = [env | {"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(count)]
    return [Command(module, *flags, prepare=prepare, **of_rank) for of_rank in ranks]


def run_ranks(count: int, module: str, *flags, **options) -> list[Result]:
    """The results of all, by rank."""
    ranks = start_ranks(count, module, *flags, **options)
    try:
        return [command.wait() for command in ranks]
    except TimeoutError as error:
        said = "\n".join(f"{rank}: {command.said()}" for rank, command in enumerate(ranks))
        raise TimeoutError(f"{error}\nall of them said\n{said}") from error
    finally:
        for command in ranks:
            command.process.kill()


def start_launch(num_processes: int, *flags, stderr: int = subprocess.PIPE, **options) -> subprocess.Popen:
    """`accelerate launch` on a machine without GPUs (`--cpu --num_processes 2` would start one process).

    `slowly=True`: each file takes a second, so that there is time to end it.
    """
    machines = f"--num_machines 1 --main_process_port {free_port()}"
    return _start(machines, num_processes, *flags, stderr=stderr, **options)


def _start(
    machines: str,
    num_processes: int,
    *flags,
    module: str = "extract",
    within: Sequence[str] = (),
    stderr: int = subprocess.PIPE,
    slowly: bool = False,
    **env,
):
    launch = f"launch --multi_gpu {machines} --num_processes {num_processes} --mixed_precision no --dynamo_backend no"
    launch += f" -m slowly {module}" if slowly else f" -m layerwise_nb.{module}"
    launch += (" --device cpu" if module in ("extract", "similarity") else "")
    command = [sys.executable, "-m", "accelerate.commands.accelerate_cli", *launch.split(), *map(str, flags)]
    # a session of its own, so that Ctrl-C can be sent to all of its processes, as a terminal does
    options = {"stdout": subprocess.PIPE, "text": True, "encoding": "utf-8", "start_new_session": True}
    if slowly:
        env["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.Popen([*within, *command], stderr=stderr, env=os.environ | env, **options)


def finish_launch(launch: subprocess.Popen) -> Result:
    try:
        out, err = launch.communicate(timeout=TIMEOUT_S)
    finally:
        try:
            os.killpg(launch.pid, signal.SIGKILL)  # nothing is left running
        except ProcessLookupError:
            pass
    return Result(launch.returncode, out, err)


def process_of_rank(launcher: int, rank: int) -> int:
    """The process id of a worker, by what accelerate put into its environment."""
    for child in psutil.Process(launcher).children(recursive=True):
        if child.environ().get("RANK") == str(rank):
            return child.pid
    raise AssertionError(f"no process of rank {rank}")


class Machines:
    """Two machines on this one: network namespaces, joined by a cable. `with Machines() as machines`.

    Raises OSError where that is not permitted or there is no `ip` command.
    """

    def __enter__(self):
        self._names = [f"layerwise{os.getpid()}-{i}" for i in range(2)]
        self._cables = [f"lw{os.getpid()}-{i}" for i in range(2)]
        try:
            for name in self._names:
                self._ip(f"netns add {name}")
            self._ip(f"link add {self._cables[0]} type veth peer name {self._cables[1]}")
            for i, (name, cable) in enumerate(zip(self._names, self._cables, strict=True)):
                self._ip(f"link set {cable} netns {name}")
                self._ip(f"-n {name} addr add 10.77.0.{i + 1}/24 dev {cable}")
                for device in (cable, "lo"):
                    self._ip(f"-n {name} link set {device} up")
        except OSError:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error):
        for name in self._names:  # a cable goes with its namespace
            subprocess.run(["ip", "netns", "delete", name], capture_output=True)

    @staticmethod
    def _ip(arguments: str) -> None:
        done = subprocess.run(["ip", *arguments.split()], capture_output=True, text=True)
        if done.returncode:
            raise OSError(f"ip {arguments}: {done.stderr.strip()}")

    def start(self, machine: int, *flags, module: str = "extract") -> subprocess.Popen:
        """`accelerate launch` of one process on machine 0 or 1 of the two."""
        ring = f"--num_machines 2 --machine_rank {machine} --main_process_ip 10.77.0.1 --main_process_port 29577"
        within = ("ip", "netns", "exec", self._names[machine])
        return _start(ring, 2, *flags, module=module, within=within, GLOO_SOCKET_IFNAME=self._cables[machine])


def launch_in_terminal(num_processes: int, *flags) -> Result:
    """The same with a terminal of 100 columns as its standard error, so that there is a moving bar."""
    terminal, stderr = os.openpty()
    fcntl.ioctl(stderr, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    launch, shown = start_launch(num_processes, *flags, stderr=stderr), bytearray()
    os.close(stderr)

    def read() -> None:
        try:
            while data := os.read(terminal, 4096):
                shown.extend(data)
        except OSError:  # on Linux, the end of what was written to a terminal
            pass

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    result = finish_launch(launch)
    reader.join(TIMEOUT_S)
    os.close(terminal)
    return Result(result.status, result.out, shown.decode())


# ---- What a run leaves


def features_dir(save_dir: Path) -> Path:
    """The one folder of features below `save_dir`."""
    (path,) = save_dir.glob("*/*/run.json")
    return path.parent


def wait_for_files(save_dir: Path, number: int, running: Callable[[], bool], pattern: str = "*.npz") -> None:
    """Until so many utterances are finished, or so many other files are begun."""
    end = time.monotonic() + TIMEOUT_S
    while sum(path.stat().st_size > 0 for path in save_dir.glob(f"*/*/{pattern}")) < number:
        assert running() and time.monotonic() < end, f"ended, or {TIMEOUT_S} s passed, before {number} files were there"
        time.sleep(0.01)


def load(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file as everybody reads them; NumPy checks every checksum."""
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file}


def hashes(save_dir: Path) -> dict[str, str]:
    """Hash of all arrays of every finished file: name, type, shape and values."""
    return {path.stem: _hash(load(path)) for path in sorted(save_dir.glob("*/*/*.npz"))}


def _hash(arrays: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def temporaries(save_dir: Path) -> list[str]:
    return [path.name for path in save_dir.rglob(".*.tmp")]


# ---- Audio


def noises(folder: Path, seconds: Sequence[float]) -> Path:
    """Seeded noises `speaker/chapter/speaker-chapter-0000.flac`, … of given durations."""
    for i, duration_s in enumerate(seconds):
        chapter = folder / f"{i % 3 + 10}/{i % 2}"
        chapter.mkdir(parents=True, exist_ok=True)
        noise = 0.1 * np.random.default_rng(i).standard_normal(round(duration_s * 16_000))
        sf.write(chapter / f"{i % 3 + 10}-{i % 2}-{i:04}.flac", noise, 16_000)
    return folder


# ---- Damage


def interrupt_while_loading() -> None:
    """What to do before a command so that Ctrl-C comes while it loads the model."""
    from layerwise_nb.extraction import run as extraction

    def load_model(*args):
        signal.raise_signal(signal.SIGINT)  # to this thread: another would leave this one asleep
        time.sleep(TIMEOUT_S)

    extraction.load_model = load_model


def interrupt_while_reading() -> None:
    """What to do before a command so that Ctrl-C comes when it first reads features."""
    from layerwise_nb.features import npz

    real_read = npz.FeatureFile.__getitem__

    def read(file, name):
        os.kill(os.getpid(), signal.SIGINT)  # of the process, whichever thread reads
        npz.FeatureFile.__getitem__ = real_read
        return real_read(file, name)

    npz.FeatureFile.__getitem__ = read


def kill_at(number: int, where: str) -> Callable:
    """What to do before a command so that it is killed at its n-th file: inside it, before or after its renaming."""
    return functools.partial(_signal_at, signal.SIGKILL, number, where)


def stop_at(number: int, then_s: float = 0.0) -> Callable:
    """What to do before a command so that it stops itself after its n-th file, until SIGCONT: no test races with it.

    Each file from then on takes `then_s` seconds.
    """
    return functools.partial(_signal_at, signal.SIGSTOP, number, "after", then_s)


def slow_files(each_s: float) -> None:
    """What to do before a command so that it takes so long after each file, without work."""
    _signal_at(signal.SIGSTOP, 0, "after", each_s)


def _signal_at(what: int, number: int, where: str, then_s: float = 0.0) -> None:
    from layerwise_nb.features import npz

    real_write, real_replace, counts = npz._FeatureZip.write_array, os.replace, {"arrays": 0, "files": 0}

    def count(key: str) -> None:
        counts[key] += 1
        if counts[key] == number:
            os.kill(os.getpid(), what)
        if counts[key] >= number:
            time.sleep(then_s)

    def write_array(archive, name, array):
        if where == "inside" and name == "conv_3":
            archive.fp.flush()
            count("arrays")
        real_write(archive, name, array)

    def replace(source, target):
        is_features = str(target).endswith(".npz")
        if is_features and where == "before":
            count("files")
        real_replace(source, target)
        if is_features and where == "after":
            count("files")

    npz._FeatureZip.write_array, os.replace = write_array, replace
