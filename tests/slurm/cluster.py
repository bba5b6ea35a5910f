"""A SLURM of one node on this machine, in a folder of its own: no systemd, no accounting."""

import ctypes
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

DAEMONS = ("munged", "slurmctld", "slurmd")
CLIENTS = ("sbatch", "srun", "squeue", "scancel", "scontrol", "sinfo")
# What the node pretends to have, whatever this machine has.
CPUS, MEMORY_MB, GPUS = 8, 16_000, 2
PR_SET_PDEATHSIG = 1

SLURM_CONF = """\
ClusterName=isoenergy
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
SlurmctldPort={controller_port}
SlurmdPort={node_port}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
# Memory is looked at every second, and a step that takes more than its job asked for is ended.
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=2,bf_interval=5
ReturnToService=2
InactiveLimit=0
KillWait=5
MinJobAge=86400
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} Gres=gpu:{gpus} State=UNKNOWN
PartitionName=cpu Nodes={host} Default=YES MaxTime=INFINITE State=UP
PartitionName=gpu Nodes={host} MaxTime=INFINITE State=UP
"""


def missing_programs() -> list[str]:
    """What of SLURM and munge is not on this machine."""
    return [name for name in (*DAEMONS, *CLIENTS) if not shutil.which(name)]


class Cluster:
    """Started on entering a ``with`` statement; on leaving it, its processes and folder are gone.

    Clients find it through :attr:`environment`; nothing outside its folder is written, and another
    SLURM or munge of this machine is left alone.
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="slurm-"))
        self.folder.chmod(0o755)
        self.environment = {
            "SLURM_CONF": str(self.folder / "slurm.conf"),
            "PATH": f"{self.folder}/bin:{os.environ['PATH']}",
        }
        self._daemons: list[subprocess.Popen] = []

    def __enter__(self) -> "Cluster":
        try:
            self._write()
            self._start_all()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def ask(self, *command: str) -> str:
        """What a client of SLURM prints."""
        done = subprocess.run(
            command,
            env=os.environ | self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
        return done.stdout

    def jobs(self) -> dict[str, dict[str, str]]:
        """Every job since the start by its number, as `scontrol show job` tells it."""
        told = self.ask("scontrol", "--oneliner", "show", "job").splitlines()
        fields = [dict(f.split("=", 1) for f in line.split() if "=" in f) for line in told]
        return {job["JobId"]: job for job in fields if "JobId" in job}

    def processes(self) -> dict[int, tuple[str, str]]:
        """Number of the job (none of a daemon) and command of every process that belongs to it."""
        found = {}
        for place in Path("/proc").glob("[0-9]*"):
            try:
                told = (place / "environ").read_bytes().decode(errors="replace").split("\0")
                command = (place / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue  # it has ended
            variables = dict(variable.split("=", 1) for variable in told if "=" in variable)
            if variables.get("SLURM_CONF") == self.environment["SLURM_CONF"]:
                job = variables.get("SLURM_JOB_ID", "")
                found[int(place.name)] = (job, command.replace("\0", " ").strip())
        return found

    def stop(self) -> None:
        """End the jobs, then the daemons, by their process ids, and remove the folder."""
        if len(self._daemons) == len(DAEMONS):
            self._end_jobs()
        for daemon in reversed(self._daemons):
            daemon.terminate()
            try:
                daemon.wait(20)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        self._daemons.clear()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _end_jobs(self) -> None:
        try:
            self.ask("scancel", "--user=root", "--full")
            for _ in range(30):
                if not self.ask("squeue", "--noheader"):
                    return
                time.sleep(1)
        except (RuntimeError, subprocess.TimeoutExpired):
            pass  # the controller is gone; jobs end with slurmd

    def _write(self) -> None:
        for name in ("state", "spool", "dev", "bin"):
            (self.folder / name).mkdir()
        # The executor clears variables of SLURM before it calls srun, this one among them.
        step = self.folder / "bin/srun"
        told = f"SLURM_CONF={self.folder}/slurm.conf exec {shutil.which('srun')}"
        step.write_text(f'#!/bin/sh\n{told} "$@"\n')
        step.chmod(0o755)
        for number in range(GPUS):
            # slurmd takes nothing but character devices for GPUs; these are as /dev/null.
            os.mknod(self.folder / f"dev/nvidia{number}", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        host = socket.gethostname().split(".")[0]
        controller_port, node_port = _free_ports(2)
        told = SLURM_CONF.format(
            host=host,
            folder=self.folder,
            controller_port=controller_port,
            node_port=node_port,
            cpus=CPUS,
            memory=MEMORY_MB,
            gpus=GPUS,
        )
        devices = f"{self.folder}/dev/nvidia[0-{GPUS - 1}]"
        (self.folder / "slurm.conf").write_text(told)
        (self.folder / "gres.conf").write_text(f"NodeName={host} Name=gpu File={devices}\n")
        (self.folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\nCgroupAutomount=no\n")
        key = self.folder / "munge.key"
        key.touch(0o600)
        key.write_bytes(os.urandom(128))

    def _start_all(self) -> None:
        munge = [
            *("munged", "--foreground"),
            f"--key-file={self.folder}/munge.key",
            f"--socket={self.folder}/munge.socket",
            f"--pid-file={self.folder}/munged.pid",
            f"--seed-file={self.folder}/munged.seed",
        ]
        self._start(munge)
        self._await("munged", (self.folder / "munge.socket").exists)
        self._start(["slurmctld", "-D"])
        self._start(["slurmd", "-D", "-N", socket.gethostname().split(".")[0]])
        self._await("slurmd", self._is_ready)

    def _is_ready(self) -> bool:
        try:
            return "idle" in self.ask("sinfo", "--noheader", "--format=%T")
        except RuntimeError:
            return False

    def _start(self, command: Sequence[str]) -> None:
        # In a session of its own, so that Ctrl-C does not reach it before its jobs have ended; it
        # ends with this process even where that is killed.
        process = subprocess.Popen(
            [shutil.which(command[0]), *command[1:]],
            env=os.environ | self.environment,
            stdin=subprocess.DEVNULL,
            stdout=(self.folder / f"{command[0]}.out").open("w"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=lambda: ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM),
        )
        self._daemons.append(process)

    def _await(self, name: str, ready, seconds: int = 60) -> None:
        for _ in range(seconds * 2):
            if ready():
                return
            if self._daemons[-1].poll() is not None:
                break
            time.sleep(0.5)
        logs = sorted([*self.folder.glob("*.log"), *self.folder.glob("*.out")])
        told = "\n".join(f"{path.name}: {path.read_text()[-2000:]}" for path in logs)
        raise RuntimeError(f"{name} did not start:\n{told}")


def _free_ports(count: int) -> list[int]:
    holders = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [holder.getsockname()[1] for holder in holders]
    for holder in holders:
        holder.close()
    return ports


def main() -> None:
    """Hold a cluster until this process is told to end, for trying things by hand."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(0))
    with Cluster() as cluster:
        for name, value in cluster.environment.items():
            print(f"export {name}={value}", flush=True)
        signal.pause()


if __name__ == "__main__":
    main()
