import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoord.origins import local_path, normalise_origin

ONE_PROJECT = [
    "https://github.com/org/name",
    "https://github.com/org/name.git",
    "https://github.com/org/name.git/",
    "https://github.com//org/name/",
    "https://GitHub.COM/Org/Name.git",
    "https://github.com./org/name",
    "https://user@github.com/org/name",
    "https://user:s3cret@github.com:443/org/name.git",
    "https://x%40y:p%2Fw@github.com/org/name",
    "http://github.com/org/name",
    "HTTPS://github.com/org/name",
    "https://www.github.com/org/name",
    "https://github.com/%6Frg/na%6De",
    "git://github.com/org/name.git",
    "ssh://git@github.com/org/name.git",
    "ssh://git@github.com:22/org/name",
    "ssh://git@ssh.github.com:443/org/name.git",
    "git+ssh://git@github.com/org/name",
    "git@github.com:org/name.git",
    "git@github.com:/org/name.git",
    "git@GITHUB.com:Org/name/",
    "github.com:org/name",
    "  https://github.com/org/name\n",
]


@pytest.mark.parametrize("url", ONE_PROJECT)
def test_every_way_to_clone_a_repository_is_one_project(url: str) -> None:
    assert normalise_origin(url) == "github.com/org/name"


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("ssh://git@[2001:DB8::1]:2222/org/name.git", "[2001:db8::1]/org/name"),
        ("git@[2001:db8::1]:org/name.git", "[2001:db8::1]/org/name"),
        ("https://git.example.com:8443/team/sub/name", "git.example.com/team/sub/name"),
        ("ssh://host/~user/name.git", "host/~user/name"),
        ("https://host/name", "host/name"),
        ("https://host/caf%C3%A9", "host/café"),
        ("https://host/cafe%CC%81", "host/café"),
        ("https://host/c#", "host/c#"),
        ("https://host/a?b", "host/a?b"),
        ("https://host/bad%FF", "host/bad%ff"),
        ("https://org@dev.azure.com/Org/Project/_git/Name", "dev.azure.com/org/project/name"),
        ("git@ssh.dev.azure.com:v3/Org/Project/Name", "dev.azure.com/org/project/name"),
        ("https://gitlab.com/v3/name", "gitlab.com/v3/name"),
    ],
)
def test_an_origin_is_named_by_host_and_path(url: str, name: str) -> None:
    assert name == normalise_origin(url)


@pytest.mark.parametrize(
    ("https", "ssh", "name"),
    [
        (
            "https://fab@dev.azure.com/fab/My%20Project/_git/My%20Repo",
            "git@ssh.dev.azure.com:v3/fab/My%20Project/My%20Repo",
            "dev.azure.com/fab/my project/my repo",
        ),
        (
            "https://dev.azure.com/fab/_git/Proj",
            "ssh://git@ssh.dev.azure.com/v3/fab/Proj/Proj",
            "dev.azure.com/fab/proj/proj",
        ),
        (
            "https://git.acme.com/scm/PROJ/repo.git",
            "ssh://git@git.acme.com:7999/proj/repo.git",
            "git.acme.com/scm/proj/repo",
        ),
        (
            "https://git.acme.com/scm/~user/repo.git",
            "ssh://git@git.acme.com:7999/~user/repo.git",
            "git.acme.com/scm/~user/repo",
        ),
    ],
)
def test_hosts_with_another_path_by_ssh_have_one_name(https: str, ssh: str, name: str) -> None:
    assert (normalise_origin(https), normalise_origin(ssh)) == (name, name)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/srv/git/name.git",
        "../name",
        "./a:b",
        "name",
        "file:///srv/git/name.git",
        "https://localhost/org/name",
        "http://127.0.0.1:3000/org/name",
        "ssh://git@[::1]:22/org/name",
        "git@localhost:org/name",
        "https://github.com",
        "https://github.com/.git",
        "https://github.com/org/../other",
        "https://[bad/org/name",
        "https:///org/name",
        "https://host/a%00b",
        "https://host/a%0Ab",
        "ext::sh -c 'cat /etc/passwd'",
        "codecommit::eu-west-1://name",
        "unknown://host/org/name",
        ":org/name",
    ],
)
def test_an_origin_that_means_nothing_elsewhere_names_nothing(url: str) -> None:
    assert normalise_origin(url) is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://github.com/org/a", "https://github.com/org/b"),
        ("https://github.com/org/a", "https://gitlab.com/org/a"),
        ("https://github.com/a/b/c", "https://github.com/a/c"),
        ("https://host/a#b", "https://host/a#c"),
        ("https://host/%FF", "https://host/%FE"),
        ("git@host:org/a%20b", "git@host:org/a b"),
        ("https://dev.azure.com/fab/v3/_git/a", "https://dev.azure.com/fab/_git/a"),
        ("https://dev.azure.com/fab/one/_git/a", "https://dev.azure.com/fab/_git/a"),
        ("https://gitlab.acme.com/scm/team/a", "https://gitlab.acme.com/team/a"),
        ("https://gitlab.acme.com/a/name", "https://gitlab.acme.com/name"),
        ("ssh://git@host:7999/scm/team/a", "ssh://git@host:7999/team/scm/a"),
    ],
)
def test_two_repositories_have_two_names(one: str, other: str) -> None:
    assert normalise_origin(one) != normalise_origin(other)


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("/srv/a.git", "/srv/a.git"),
        ("../a", "../a"),
        ("a", "a"),
        ("./a:b", "./a:b"),
        ("file:///srv/a%20b", "/srv/a b"),
        ("file://host/srv/a", None),
        ("https://host/a", None),
        ("git@host:a", None),
        ("", None),
    ],
)
def test_a_path_of_this_machine_is_told_from_an_address(url: str, path: str | None) -> None:
    assert path == local_path(url)


@given(st.text() | st.from_regex(r"(https|ssh|file)://[^/]*(:\w*)?/.*|[^:]*:.*"))
def test_any_text_is_named_or_not_but_never_fails(url: str) -> None:
    name = normalise_origin(url)

    assert name is None or name.isprintable()
    assert name is None or "/" in name.strip("/")
