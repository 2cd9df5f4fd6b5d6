"""The name that a remote's URL gives to a project: ``host/org/name``.

However a repository was cloned (https, ssh, ``git@host:``, with or without user,
port or ``.git``), its name is the same. Case is folded in the path too: the large
hosts take ``Org/Repo`` and ``org/repo`` for one repository, and two clones that do
not meet are worse than two repositories, alike but for case, that do. Such a pair
sets ``project:`` in ``coordination.yaml``.

This module is pure: it does not ask a network, ssh's settings or git.
"""

import re
from urllib.parse import SplitResult, unquote, urlsplit

from scoord.names import path_key

_NETWORK_SCHEMES = frozenset({"http", "https", "ssh", "git", "git+ssh", "ssh+git", "ftp", "ftps"})
_SCP_LIKE = re.compile(r"(?:[^@/]*@)?(?P<host>\[[^\]/]+\]|[^:/\[\]]+):(?P<path>.*)", re.DOTALL)
_HOST = re.compile(r"\w[\w.-]*|\[[0-9a-f:.]+\]")
_LOOPBACK = re.compile(r"localhost|.*\.localhost|127\.[\d.]+|\[::1\]|0\.0\.0\.0")

_SAME_HOST = {
    # Where ssh goes on port 443, past a firewall.
    "ssh.github.com": "github.com",
    "altssh.gitlab.com": "gitlab.com",
    "altssh.bitbucket.org": "bitbucket.org",
    "ssh.dev.azure.com": "dev.azure.com",
    "www.github.com": "github.com",
}
_AZURE = "dev.azure.com"
_BITBUCKET_SERVERS_PORT = ":7999"
"""Where its ssh listens unless told otherwise. Its URLs show it by nothing else: a group of
another host may be called ``scm``, so that is not left out of what comes by https."""


def normalise_origin(url: str) -> str | None:
    """Return ``host/org/name``; None for a URL that means nothing on another machine.

    That is a path of this machine, a loopback host, or an address of a kind that
    is not known.
    """
    host, path = _host_and_path(url.strip())
    host, parts = _SAME_HOST.get(host, host), _parts(path)
    if host == _AZURE:
        parts = _of_azure(parts)
    if not _HOST.fullmatch(host) or _LOOPBACK.fullmatch(host) or ".." in parts:
        return None
    name = "/".join(parts).removesuffix(".git").rstrip("/")
    return f"{host}/{path_key(name)}" if name and name.isprintable() else None


def local_path(url: str) -> str | None:
    """Return the path that ``url`` names on this machine, as given; None for any other."""
    url = url.strip()
    scheme, found, rest = url.partition("://")
    if found:
        return unquote(rest) if scheme.lower() == "file" and rest.startswith("/") else None
    # Git's own rule (connect.c, url_is_local_not_ssh): a colon before any slash means ssh.
    return url if url and ":" not in url.partition("/")[0] else None


def _host_and_path(url: str) -> tuple[str, str]:
    """Split into a lower-case host and a decoded path; the host is empty when unknown."""
    if "://" in url:
        return _of_url(url)
    found = None if local_path(url) else _SCP_LIKE.fullmatch(url)
    if not found or found["path"].startswith(":"):  # "helper::address"
        return "", ""
    host = _host(found["host"])
    # Azure shows such an address with escapes; elsewhere they are part of the name.
    return host, _decoded(found["path"]) if _SAME_HOST.get(host) == _AZURE else found["path"]


def _of_url(url: str) -> tuple[str, str]:
    # To git both are characters of the path.
    url = url.replace("#", "%23").replace("?", "%3F")
    try:
        parts = urlsplit(url)
        host = _host_of(parts)
    except ValueError:  # brackets that do not close, or no address between them
        return "", ""
    return host, _with_scm(parts, _decoded(parts.path))


def _with_scm(url: SplitResult, path: str) -> str:
    """Return the path as Bitbucket Server has it by https too: ``scm/project/name``."""
    by_ssh = url.scheme == "ssh" and url.netloc.endswith(_BITBUCKET_SERVERS_PORT)
    return f"scm/{path}" if by_ssh and len(_parts(path)) == 2 else path


def _of_azure(parts: list[str]) -> list[str]:
    """Return organisation, project and name; anything else is left as it is."""
    match parts:
        case [organisation, project, "_git", name] | ["v3", organisation, project, name]:
            return [organisation, project, name]
        case [organisation, "_git", name]:  # short for a project's repository of its own name
            return [organisation, name, name]
    return parts


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]


def _host_of(parts: SplitResult) -> str:
    if parts.scheme not in _NETWORK_SCHEMES or not parts.hostname:
        return ""
    return _host(f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname)


def _host(text: str) -> str:
    return text.lower().rstrip(".")


def _decoded(path: str) -> str:
    try:
        return unquote(path, errors="strict")
    except UnicodeDecodeError:  # two names must not become one
        return path
