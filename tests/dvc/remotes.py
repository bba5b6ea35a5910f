"""Remotes to share a run through, a folder and an S3 server, and what goes wrong with each.

Both can be forbidden, gone, lost while objects are fetched, and interrupted while they are sent;
each says what the tool is to tell of it.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path

REACHED = "it cannot be reached, or was lost on the way; what has arrived is kept"


class Door:
    """A port that leads to a server; after some bytes from it, it is shut until opened again."""

    def __init__(self, port):
        self.behind, self.left = port, None
        self.port = 0
        self.open()

    def open(self):
        self.listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, args=(self.listener,), daemon=True).start()

    def close(self):
        # Closing alone would leave the thread that accepts at it.
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def accept(self, listener):
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            if self.left is not None and self.left <= 0:
                client.close()
                continue
            server = socket.create_connection(("127.0.0.1", self.behind))
            for source, goal, counted in ((client, server, False), (server, client, True)):
                threading.Thread(target=self.pass_on, args=(source, goal, counted)).start()

    def pass_on(self, source, goal, counted):
        with contextlib.suppress(OSError):
            while piece := source.recv(65536):
                if counted and self.left is not None:
                    self.left -= len(piece)
                    if self.left <= 0:
                        break
                goal.sendall(piece)
        for end in (source, goal):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


SERVER = """
import os, sys
os.environ["INITIAL_NO_AUTH_ACTION_COUNT"] = "5"
from moto.server import main
main(["-H", "127.0.0.1", "-p", sys.argv[1]])
"""
PREPARE = """
import json, sys, boto3
told = {"endpoint_url": f"http://127.0.0.1:{sys.argv[1]}", "region_name": "us-east-1"}
told |= {"aws_access_key_id": "a", "aws_secret_access_key": "b"}
iam = boto3.client("iam", **told)
iam.create_user(UserName="u")
key = iam.create_access_key(UserName="u")["AccessKey"]
allowed = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
iam.put_user_policy(UserName="u", PolicyName="p", PolicyDocument=policy)
boto3.client("s3", **told).create_bucket(Bucket="shared")
print(key["AccessKeyId"], key["SecretAccessKey"])
"""
DAMAGE = """
import sys, boto3
s3 = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{sys.argv[1]}")
if sys.argv[3] == "damage":
    s3.put_object(Bucket="shared", Key=sys.argv[2], Body=b"damaged")
else:
    s3.delete_object(Bucket="shared", Key=sys.argv[2])
"""


class Bucket:
    """An S3 server on the loopback that asks for credentials, behind a door."""

    url = "s3://shared/run"
    forbidden = "it refuses these credentials; ask its owner, or set others"
    missing = REACHED

    def __init__(self, folder):
        self.python = Path(shutil.which("dvc")).resolve().parent / "python"
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        with (folder / "server.log").open("w") as log:
            self.server = subprocess.Popen(
                [self.python, "-c", SERVER, str(port)], stdout=log, stderr=log
            )
        for _ in range(240):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.25)
        self.port = port
        names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        self.keys = dict(zip(names, self.call(PREPARE).split(), strict=True))
        self.keys["AWS_DEFAULT_REGION"] = "us-east-1"
        self.door = Door(port)

    def call(self, program, *words):
        done = subprocess.run(
            [self.python, "-c", program, str(self.port), *words],
            env={**os.environ, **getattr(self, "keys", {})},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    def name_in(self, repository):
        """Make it the default remote of a repository."""
        repository.run("dvc", "remote", "add", "--force", "--default", "shared", self.url)
        url = f"http://127.0.0.1:{self.door.port}"
        repository.run("dvc", "remote", "modify", "shared", "endpointurl", url)

    def damage(self, name):
        self.call(DAMAGE, f"run/files/md5/{name}", "damage")

    def delete(self, name):
        self.call(DAMAGE, f"run/files/md5/{name}", "delete")

    @contextlib.contextmanager
    def forbid(self):
        """What to put before a command, and around it, for it to be refused."""
        yield (), {"AWS_SECRET_ACCESS_KEY": "wrong"}

    @contextlib.contextmanager
    def gone(self):
        self.door.close()
        yield
        self.door.open()

    @contextlib.contextmanager
    def lost(self, size):
        """For a fetch of ``size`` bytes: the server goes when half of them have come."""
        self.door.left = size // 2
        yield REACHED
        self.door.left = None

    @contextlib.contextmanager
    def interrupted(self):
        """For what is sent: the server goes after some hundreds of answers."""
        self.door.left = 300_000
        yield REACHED
        self.door.left = None

    def close(self):
        self.door.close()
        self.server.terminate()
        self.server.wait()


class Folder:
    """A remote that is a folder, on a disk of its own where there is a right to mount one."""

    keys: dict = {}  # noqa: RUF012
    forbidden = "its files may not be read or written by you; ask its owner"
    missing = "remote is not there; is its disk mounted?"

    def __init__(self, folder):
        self.disk = folder / "disk"
        self.disk.mkdir()
        mount = ("mount", "-t", "tmpfs", "-o", "size=1g", "none", str(self.disk))
        self.mounted = subprocess.run(mount, check=False, capture_output=True).returncode == 0
        self.folder = self.disk / "remote"
        self.folder.mkdir()
        self.objects = self.folder / "files/md5"

    def name_in(self, repository):
        repository.run("dvc", "remote", "add", "--force", "--default", "shared", str(self.folder))

    def damage(self, name):
        (self.objects / name).chmod(0o644)
        (self.objects / name).write_text("damaged")

    def delete(self, name):
        (self.objects / name).unlink(missing_ok=True)

    @contextlib.contextmanager
    def forbid(self):
        # For whom root's own rights would open it.
        drop = "-dac_override,-dac_read_search"
        prefix = ("setpriv", f"--bounding-set={drop}", f"--inh-caps={drop}")
        self.folder.chmod(0)
        yield () if os.getuid() else prefix, {}
        self.folder.chmod(0o755)

    @contextlib.contextmanager
    def gone(self):
        self.folder.rename(self.disk / "away")
        yield
        if self.folder.exists():
            shutil.rmtree(self.folder)
        (self.disk / "away").rename(self.folder)

    @contextlib.contextmanager
    def lost(self, size):
        """Every second of its objects is not there."""
        away = sorted(path for path in self.objects.rglob("*") if path.is_file())[::2]
        for path in away:
            path.rename(path.with_suffix(".away"))
        yield "what it has of"
        for path in away:
            path.with_suffix(".away").rename(path)

    @contextlib.contextmanager
    def interrupted(self):
        """Its disk is full."""
        if self.mounted:
            self.resize("1m")
            yield "no room is left on the disk; make some, what has arrived is kept"
            self.resize("1g")
        else:
            with self.forbid() as (_, _):
                yield self.forbidden

    def resize(self, size):
        subprocess.run(["mount", "-o", f"remount,size={size}", str(self.disk)], check=True)

    def close(self):
        if self.mounted:
            subprocess.run(["umount", str(self.disk)], check=True)
