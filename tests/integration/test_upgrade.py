"""Upgrades from a real server: handed on when maker, signature, hardware, version and content are right, and else never."""

import asyncio
import base64
import contextlib
import hashlib
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from commanded_parts import TIME, WALL_S, commanded, make_config, recorder
from hypothesis import given
from hypothesis import strategies as st
from security_parts import needs_openssl, openssl

from agent.cli import main as tbox
from agent.clock import Clock
from agent.core.terminal import CONTROL, ERROR
from agent.crypto.maker import UpgradeKeyError, load_public_key
from agent.errors import AgentError
from agent.platform.upgrade import MANIFEST, SIGNATURE, UpgradeError, beside, read_manifest, version_key
from agent.platform.upgrade_fetch import Limits, fetch, shown
from bench.commands import sign_upgrade

PACKAGE = b"the new firmware" * 1000


class Shelf:
    """What the server gives for a path: bytes, or a function of the request handler."""

    def __init__(self) -> None:
        self.files = {}
        self.asked = []
        self.release = threading.Event()
        self.url = ""


@contextmanager
def serving(shelf, context=None) -> Iterator[Shelf]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            shelf.asked.append(self.path)
            found = shelf.files.get(self.path.partition("?")[0])
            if callable(found):
                found(self)
            elif found is None:
                self.send_error(404)
            else:
                self.send_response(200)
                self.send_header("Content-Length", str(len(found)))
                self.end_headers()
                self.wfile.write(found)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    shelf.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield shelf
    finally:
        shelf.release.set()
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def shelf():
    with serving(Shelf()) as shelf:
        yield shelf


@pytest.fixture
def maker(tmp_path):
    """The maker's key and a signed package."""
    folder = tmp_path / "maker"
    folder.mkdir()
    return folder


def sign(
    folder, shelf, package=PACKAGE, *, firmware="1.3.0", hardware="HW1", maker="ABCD", key="key.pem", kind="ed25519"
):
    """Put a package on the shelf as `tbox-bench sign-upgrade` makes it."""
    (folder / "fw.bin").write_bytes(package)
    given = {"file": folder / "fw.bin", "key": folder / key, "new_key": None if (folder / key).exists() else kind}
    assert sign_upgrade.run(Namespace(**given, maker=maker, hardware=hardware, firmware=firmware)) == 0
    for suffix in ("", MANIFEST, SIGNATURE):
        shelf.files[f"/fw.bin{suffix}"] = (folder / f"fw.bin{suffix}").read_bytes()


def upgrade_config(tmp_path, maker, rest="", **control):
    """A program that writes its arguments down, and keeps a copy of the package: it is gone afterwards."""
    argv, record = recorder(tmp_path, f'cp "$1" {tmp_path}/installed; stat -c %a "$(dirname "$1")" "$1"; {rest}')
    control = {
        "upgrade": [*argv, "{file}", "{version}"],
        "upgrade_key": str(maker / "key.pem.pub"),
        "maker": "ABCD",
    } | control
    return make_config(tmp_path, **control), record


def arguments(url, *, firmware=b"", hardware=b"", maker=b"", minutes=b"\x00\x05"):
    return TIME + b"\x01" + b";".join([url.encode(), b"", b"", b"secret", b"", b"", maker, hardware, firmware, minutes])


def upgrade(config, data):
    async def main():
        async with commanded(config) as (subject, _):
            answer = await subject.respond(CONTROL, data, False, WALL_S)
            await subject.carry_out(answer)
            await subject.idle()
            return answer, subject.counters

    return asyncio.run(asyncio.wait_for(main(), 60))


def refused_later(tmp_path, config, shelf, caplog, said, **order):
    answer, counters = upgrade(config, arguments(f"{shelf.url}/fw.bin", **order))
    assert answer.flag == 1
    assert counters.security == 1
    assert not (tmp_path / "record").exists()
    assert not list(tmp_path.glob("upgrade-*"))
    assert "security: upgrade refused" in caplog.text
    assert said in caplog.text


@pytest.mark.parametrize("kind", ["ed25519", "sm2"])
@pytest.mark.parametrize("named", [{}, {"firmware": b"1.3.0", "hardware": b"HW1\0\0", "maker": b"ABCD"}])
def test_a_signed_newer_package_is_handed_to_the_program(tmp_path, shelf, maker, caplog, named, kind):
    sign(maker, shelf, kind=kind)
    config, record = upgrade_config(tmp_path, maker)
    answer, counters = upgrade(config, arguments(f"{shelf.url}/fw.bin?a=1&b=$(reboot)'", **named))
    assert (answer.flag, counters.security) == (1, 0)
    file, version = record.read_text().splitlines()
    assert version == "1.3.0"
    assert (tmp_path / "installed").read_bytes() == PACKAGE
    assert file.startswith(f"{tmp_path}/upgrade-")
    assert not list(tmp_path.glob("upgrade-*"))
    assert "output='700\\n600\\n'" in caplog.text
    assert "secret" not in caplog.text
    assert shelf.asked == [f"/fw.bin{suffix}?a=1&b=$(reboot)'" for suffix in (MANIFEST, SIGNATURE, "")]


@pytest.mark.parametrize(
    ("order", "said"),
    [
        ({"firmware": b"1.2.0"}, "not newer than 1.2.0"),
        ({"firmware": b"1.1.9"}, "not newer than 1.2.0"),
        ({"hardware": b"HW2"}, "for hardware HW2, this terminal's is HW1"),
        ({"maker": b"ZZZZ"}, "of maker ZZZZ"),
    ],
)
def test_an_order_for_somebody_else_is_refused_at_once(tmp_path, shelf, maker, order, said):
    sign(maker, shelf)
    config, record = upgrade_config(tmp_path, maker)
    answer, _ = upgrade(config, arguments(f"{shelf.url}/fw.bin", **order))
    assert answer.flag == ERROR
    assert said in answer.reason
    assert shelf.asked == []
    assert not record.exists()


@pytest.mark.parametrize(
    ("signed", "order", "said"),
    [
        ({"firmware": "1.2.0"}, {}, "not newer than 1.2.0"),
        ({"firmware": "1.10"}, {"firmware": b"1.11"}, "names firmware 1.11, the package is 1.10"),
        ({"hardware": "HW2"}, {}, "for hardware HW2"),
        ({"maker": "ZZZZ"}, {}, "of maker ZZZZ"),
    ],
)
def test_a_well_signed_package_that_does_not_fit_is_refused(tmp_path, shelf, maker, caplog, signed, order, said):
    sign(maker, shelf, **signed)
    config, _ = upgrade_config(tmp_path, maker)
    refused_later(tmp_path, config, shelf, caplog, said, **order)
    assert "/fw.bin" not in shelf.asked  # nothing was fetched that could not be wanted


def test_a_downgrade_needs_the_configuration(tmp_path, shelf, maker):
    sign(maker, shelf, firmware="1.1.0")
    config, record = upgrade_config(tmp_path, maker, allow_downgrade=True)
    answer, _ = upgrade(config, arguments(f"{shelf.url}/fw.bin", firmware=b"1.1.0"))
    assert answer.flag == 1
    assert record.read_text().splitlines()[1] == "1.1.0"


def change(data, at=0):
    return data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]


@pytest.mark.parametrize(
    ("suffix", "spoil", "said"),
    [
        ("", change, "SHA-256"),
        ("", lambda data: data[:-1], "has 15999 bytes, its manifest says 16000"),
        ("", lambda data: data + b"x", "more than 16000 bytes"),
        ("", None, "404"),
        (MANIFEST, lambda data: data.replace(b"1.3.0", b"1.9.0"), "not signed"),
        (MANIFEST, lambda data: data + b" ", "not signed"),
        (MANIFEST, lambda _: b"x" * 20_000, "more than 16384"),
        (MANIFEST, None, "404"),
        (SIGNATURE, change, "not signed"),
        (SIGNATURE, lambda data: data[:-1], "not signed"),
        (SIGNATURE, lambda _: b"", "not signed"),
        (SIGNATURE, None, "404"),
    ],
)
def test_one_changed_byte_anywhere_is_refused(tmp_path, shelf, maker, caplog, suffix, spoil, said):
    sign(maker, shelf)
    whole = shelf.files.pop(f"/fw.bin{suffix}")
    if spoil is not None:
        shelf.files[f"/fw.bin{suffix}"] = spoil(whole)
    config, _ = upgrade_config(tmp_path, maker)
    refused_later(tmp_path, config, shelf, caplog, said)


@pytest.mark.parametrize("kind", ["ed25519", "sm2"])
@pytest.mark.parametrize("other", ["ed25519", "sm2"])
def test_another_makers_signature_is_refused(tmp_path, shelf, maker, caplog, kind, other):
    sign(maker, shelf, kind=kind)
    sign(maker, shelf, key="other.pem", kind=other)
    config, _ = upgrade_config(tmp_path, maker)
    refused_later(tmp_path, config, shelf, caplog, "not signed")


def redirect(to):
    def answer(handler):
        handler.send_response(302)
        handler.send_header("Location", to)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


@pytest.mark.parametrize(
    ("to", "said"),
    [
        ("file:///etc/passwd", "not allowed"),
        ("data:,x", "not allowed"),
        ("ftp://127.0.0.1/x", "another scheme refused"),
        ("https://127.0.0.1/x", "another scheme refused"),
    ],
)
def test_a_redirect_to_another_scheme_is_refused(tmp_path, shelf, maker, caplog, to, said):
    sign(maker, shelf)
    shelf.files[f"/fw.bin{MANIFEST}"] = redirect(to)
    config, _ = upgrade_config(tmp_path, maker)
    refused_later(tmp_path, config, shelf, caplog, said)


def test_a_redirect_within_the_scheme_is_followed_but_not_for_ever(tmp_path, shelf, maker, caplog):
    sign(maker, shelf)
    shelf.files["/elsewhere"] = shelf.files["/fw.bin"]
    shelf.files["/fw.bin"] = redirect("/elsewhere")
    config, record = upgrade_config(tmp_path, maker)
    assert upgrade(config, arguments(f"{shelf.url}/fw.bin"))[1].security == 0
    assert record.exists()
    record.unlink()
    shelf.files["/fw.bin"] = redirect("/fw.bin")
    refused_later(tmp_path, config, shelf, caplog, "cannot be fetched")


def test_a_server_that_drips_is_given_up_in_time(tmp_path, shelf, maker, caplog):
    """The time limit of the order, on a clock that runs a thousand times faster."""
    from agent.clock import Clock

    sign(maker, shelf)

    def drip(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", "16000")
        handler.end_headers()
        handler.wfile.write(b"t")
        handler.wfile.flush()
        shelf.release.wait(60)

    shelf.files["/fw.bin"] = drip
    config, _ = upgrade_config(tmp_path, maker)

    async def main():
        async with commanded(config, Clock(speed=300)) as (subject, _):
            answer = await subject.respond(CONTROL, arguments(f"{shelf.url}/fw.bin"), False, WALL_S)
            await subject.carry_out(answer)
            await subject.idle()

    asyncio.run(asyncio.wait_for(main(), 30))
    assert "not there in time" in caplog.text or "timed out" in caplog.text
    assert not list(tmp_path.glob("upgrade-*"))


def test_stopping_the_agent_stops_a_download(tmp_path, shelf, maker):
    sign(maker, shelf)
    shelf.files["/fw.bin"] = lambda _: shelf.release.wait(60)
    config, _ = upgrade_config(tmp_path, maker)

    async def main():
        async with commanded(config) as (subject, _):
            answer = await subject.respond(CONTROL, arguments(f"{shelf.url}/fw.bin"), False, WALL_S)
            await subject.carry_out(answer)
            while "/fw.bin" not in shelf.asked:
                await asyncio.sleep(0.01)
            again = await subject.respond(CONTROL, arguments(f"{shelf.url}/fw.bin"), False, WALL_S)
            assert again.flag == ERROR

    asyncio.run(asyncio.wait_for(main(), 30))
    assert not list(tmp_path.glob("upgrade-*"))


def test_what_a_killed_process_left_is_swept(tmp_path, shelf, maker):
    sign(maker, shelf)
    (tmp_path / "upgrade-old").mkdir()
    (tmp_path / "upgrade-old" / "package").write_bytes(b"x")
    config, record = upgrade_config(tmp_path, maker)
    upgrade(config, arguments(f"{shelf.url}/fw.bin"))
    assert record.exists()
    assert not list(tmp_path.glob("upgrade-*"))


def test_a_package_above_the_limit_is_not_fetched(tmp_path, shelf, maker, caplog):
    sign(maker, shelf, bytes(1_000_001))
    config, _ = upgrade_config(tmp_path, maker, max_upgrade_mb=1)
    refused_later(tmp_path, config, shelf, caplog, "max_upgrade_mb allows 1000000")
    assert "/fw.bin" not in shelf.asked


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:1/x",
        "http://127.0.0.1:99999/x",
        "http://no.such.host.invalid/x",
        "http://a..b/x",
        "https://127.0.0.1:1/x",
        "ftp://127.0.0.1:1/x",
    ],
)
def test_a_server_that_is_not_there(tmp_path, shelf, maker, caplog, url):
    sign(maker, shelf)
    config, record = upgrade_config(tmp_path, maker)
    answer, counters = upgrade(config, arguments(url))
    assert (answer.flag, counters.security) == (1, 1)
    assert "cannot be fetched" in caplog.text
    assert not record.exists()


def test_an_https_server_whose_certificate_nobody_vouches_for(tmp_path, maker, caplog):
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    day = datetime.now(UTC)
    certificate = x509.CertificateBuilder(name, name, key.public_key(), 1, day, day + timedelta(1)).sign(
        key, hashes.SHA256()
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ) + certificate.public_bytes(serialization.Encoding.PEM)
    (tmp_path / "tls.pem").write_bytes(pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "tls.pem")
    with serving(Shelf(), context) as shelf:
        sign(maker, shelf)
        shelf.url = shelf.url.replace("http:", "https:")
        config, _ = upgrade_config(tmp_path, maker)
        refused_later(tmp_path, config, shelf, caplog, "certificate verify failed")
        assert shelf.asked == []


def serve_ftp(listener, files, said):
    """As much of RFC 959 as one client needs that fetches three files."""
    for _ in files:
        peer, _ = listener.accept()
        data = None
        with peer, peer.makefile("rw", newline="\r\n") as talk:
            print("220 ready", file=talk, flush=True)
            for line in talk:
                verb, _, argument = line.strip().partition(" ")
                said.append(line.strip())
                answer = {
                    "USER": "331 password",
                    "PASS": "230 in",
                    "TYPE": "200 ok",
                    "CWD": "250 ok",
                    "QUIT": "221 bye",
                }
                if verb in ("EPSV", "PASV"):
                    data = socket.create_server(("127.0.0.1", 0))
                    port = data.getsockname()[1]
                    answer["PASV"] = f"227 here (127,0,0,1,{port >> 8},{port & 255})"
                if verb == "RETR":
                    print("150 coming", file=talk, flush=True)
                    with data, data.accept()[0] as pipe:
                        pipe.sendall(files[argument])
                    answer["RETR"] = "226 sent"
                print(answer.get(verb, "502 no"), file=talk, flush=True)
                if verb == "QUIT":
                    break


def test_ftp_as_the_standard_suggests(tmp_path, maker, caplog):
    shelf, said = Shelf(), []
    sign(maker, shelf)
    config, record = upgrade_config(tmp_path, maker)
    files = {path.removeprefix("/"): data for path, data in shelf.files.items()}
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve_ftp, args=(listener, files, said), daemon=True)
        thread.start()
        url = f"ftp://car:hidden@127.0.0.1:{listener.getsockname()[1]}/fw.bin"
        answer, counters = upgrade(config, arguments(url))
    assert (answer.flag, counters.security) == (1, 0), caplog.text
    assert record.read_text().splitlines()[1] == "1.3.0"
    assert (tmp_path / "installed").read_bytes() == PACKAGE
    assert "PASS hidden" in said
    assert "hidden" not in caplog.text


@pytest.mark.parametrize("url", ["http://[/x", "http://[::1/x", "http://[x]/y"])
def test_an_address_that_is_none_is_refused_at_once(tmp_path, shelf, maker, url):
    sign(maker, shelf)
    config, _ = upgrade_config(tmp_path, maker)
    answer, _ = upgrade(config, arguments(url))
    assert answer.flag == ERROR


@needs_openssl
@pytest.mark.parametrize("kind", ["ed25519", "sm2"])
def test_keys_and_signatures_of_openssl(tmp_path, kind):
    algorithm = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:sm2"] if kind == "sm2" else ["-algorithm", kind]
    options = ["-digest", "sm3", "-pkeyopt", "distid:1234567812345678"] if kind == "sm2" else []
    private, public, manifest = tmp_path / "key.pem", tmp_path / "key.pub", tmp_path / "fw.bin.manifest"
    openssl("genpkey", *algorithm, "-out", private)
    openssl("pkey", "-in", private, "-pubout", "-out", public)
    manifest.write_bytes(b"any bytes")
    signature = openssl("pkeyutl", "-sign", "-rawin", *options, "-inkey", private, "-in", manifest).stdout
    key = load_public_key(public)
    assert key.verifies(signature, b"any bytes")
    assert not key.verifies(signature, b"any other bytes")
    for at in range(len(signature)):
        assert not key.verifies(change(signature, at), b"any bytes")
    assert not any(
        key.verifies(rubbish, b"any bytes") for rubbish in (b"", signature[:-1], signature + b"\0", b"\0" * 64)
    )


@pytest.mark.parametrize("content", [b"", b"nonsense", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"])
def test_a_key_file_that_holds_none(tmp_path, content):
    (tmp_path / "key.pem").write_bytes(content)
    with pytest.raises(AgentError, match=r"key\.pem: "):
        load_public_key(tmp_path / "key.pem")


def test_a_key_of_another_kind_is_said(tmp_path):
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    public = ec.generate_private_key(ec.SECP256R1()).public_key()
    (tmp_path / "key.pem").write_bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    with pytest.raises(AgentError, match="is neither an Ed25519 nor an SM2 key"):
        load_public_key(tmp_path / "key.pem")


@pytest.mark.parametrize(
    "manifest",
    [
        {},
        {"maker": "AB", "hardware": "1", "firmware": "1", "sha256": "0" * 64, "size": 1},
        {"maker": "ABCD", "hardware": "", "firmware": "1", "sha256": "0" * 64, "size": 1},
        {"maker": "ABCD", "hardware": "1", "firmware": "-1", "sha256": "0" * 64, "size": 1},
        {"maker": "ABCD", "hardware": "1", "firmware": "1.2.3.4", "sha256": "0" * 64, "size": 1},
        {"maker": "ABCD", "hardware": "1", "firmware": "1", "sha256": "0" * 63, "size": 1},
        {"maker": "ABCD", "hardware": "1", "firmware": "1", "sha256": "0" * 64, "size": 0},
        {"maker": "ABCD", "hardware": "1", "firmware": "1", "sha256": "0" * 64, "size": 1, "more": 1},
    ],
)
def test_what_is_no_manifest(manifest):
    with pytest.raises(UpgradeError):
        read_manifest(json.dumps(manifest).encode())


@given(st.binary())
def test_any_bytes_are_a_manifest_or_not(data):
    with pytest.raises(UpgradeError):
        read_manifest(data)


def test_versions_in_their_order():
    in_order = ["", "1", "1.2", "1.2.1", "1.9", "1.10", "2", "10", "A", "V1.1", "V1.02", "V2", "a"]
    shuffled = [*in_order[1::2], *in_order[::2]]
    assert sorted(shuffled, key=version_key) == in_order
    assert version_key("01") == version_key("1")


@given(st.text("0129.-_aB", max_size=5), st.text("0129.-_aB", max_size=5))
def test_any_two_versions_compare(left, right):
    assert (version_key(left) < version_key(right)) + (version_key(right) < version_key(left)) + (
        version_key(left) == version_key(right)
    ) == 1


def test_urls():
    assert beside("https://a/b.bin?x=1", ".sig") == "https://a/b.bin.sig?x=1"
    assert shown("ftp://user:secret@host/x@y") == "'ftp://host/x@y'"
    assert shown("https://host/x?token=secret") == "'https://host/x?...'"
    assert len(shown("https://a/" + "b" * 5000)) < 210


def bench(arguments):
    return subprocess.run([sys.executable, "-m", "bench.cli", *arguments], capture_output=True, check=False).returncode


def test_signing_refuses_what_no_terminal_would_take(tmp_path):
    (tmp_path / "fw.bin").write_bytes(PACKAGE)
    key = ["--key", str(tmp_path / "key.pem")]
    arguments = ["sign-upgrade", str(tmp_path / "fw.bin"), *key, "--hardware", "HW1", "--firmware", "1.3.0"]
    assert bench([*arguments, "--maker", "abc", "--new-key", "ed25519"]) == 2
    assert bench([*arguments, "--maker", "ABCD"]) == 1  # no key yet
    assert bench([*arguments, "--maker", "ABCD", "--new-key", "ed25519"]) == 0
    assert bench([*arguments, "--maker", "ABCD", "--new-key", "ed25519"]) == 1  # never overwritten
    assert (tmp_path / "key.pem").stat().st_mode & 0o777 == 0o600
    manifest = json.loads((tmp_path / "fw.bin.manifest").read_bytes())
    assert manifest["sha256"] == hashlib.sha256(PACKAGE).hexdigest()
    (tmp_path / "key.pem").write_bytes(b"nonsense")
    assert bench([*arguments, "--maker", "ABCD"]) == 2


def test_a_configuration_of_upgrades_is_checked(tmp_path, capsys):
    path = tmp_path / "tbox.toml"
    path.write_text(
        '[vehicle]\nvin = "LTBXTEST100000001"\nmapping = "shipped:reference_ev.toml"\n[[can]]\nname = "pt"\n'
        'interface = "virtual"\n[platform]\nhost = "a"\nallowed_platforms = ["b"]\n[control]\nmaker = "abc"\n'
        'upgrade = ["install", "{file}", "{level}", "--v={version}"]\nreset = ["/sbin/reboot", "{text}"]\n'
    )
    assert tbox(["params", "-c", str(path)]) == 2
    said = capsys.readouterr().err
    for fault in (
        "control.upgrade: 'install': name the program by its whole path",
        "control.upgrade: '{level}': a placeholder",
        "control.upgrade: '--v={version}': a placeholder",
        "control.reset: '{text}': a placeholder",
        "control.upgrade_key: is missing",
        "control.maker = 'abc'",
        "vehicle.hardware_version: is missing",
        "platform.allowed_platforms",
    ):
        assert fault in said


def test_a_maker_key_that_never_ends_or_never_comes_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path):
        with pytest.raises(UpgradeKeyError, match=r"no regular file|is a folder"):
            load_public_key(path)


@pytest.mark.parametrize(
    ("user", "sent"), [("user:se%20cret", b"user:se cret"), ("user", b"user:"), ("u:s@c", b"u:s@c")]
)
def test_user_and_password_of_the_url_are_sent_and_not_told(tmp_path, maker, shelf, caplog, user, sent):
    """A redirect to another place does not take them along."""
    sign(maker, shelf)
    heard = []

    def found(path):
        content = shelf.files[path]

        def give(handler):
            heard.append((handler.path, handler.headers["Authorization"]))
            if handler.path.startswith("/fw.bin?"):
                handler.send_response(302)
                handler.send_header("Location", shelf.url.replace("127.0.0.1", "localhost") + "/fw.bin")
                handler.send_header("Content-Length", "0")
                handler.end_headers()
                return
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(content)))
            handler.end_headers()
            handler.wfile.write(content)

        return give

    shelf.files = {path: found(path) for path in shelf.files}
    config, _ = upgrade_config(tmp_path, maker)
    upgrade(config, arguments(shelf.url.replace("//", f"//{user}@") + "/fw.bin?token=tok3n"))
    assert (tmp_path / "installed").read_bytes() == PACKAGE
    basic = "Basic " + base64.b64encode(sent).decode()
    assert [given for _, given in heard] == [basic, basic, basic, None]
    for secret in ("se%20cret", "se cret", "u:s@c", "s@c", "tok3n", basic):
        assert secret not in caplog.text


def test_a_password_is_not_told_by_the_librarys_errors(tmp_path, maker, shelf, caplog):
    sign(maker, shelf)
    config, _ = upgrade_config(tmp_path, maker)
    for place in ("127.0.0.1", "127.0.0.1:x", "[::1"):
        upgrade(config, arguments(f"http://user:s3cret@{place}/fw.bin"))
    assert "upgrade" in caplog.text
    assert "s3cret" not in caplog.text


def test_what_a_server_says_is_one_plain_line_of_the_log(tmp_path, maker, shelf, caplog):
    sign(maker, shelf)
    shelf.files[f"/fw.bin{MANIFEST}"] = lambda handler: handler.wfile.write(
        b"HTTP/1.1 404 \x1b[31m" + b"a" * 5000 + b"\r\n\r\n"
    )
    config, _ = upgrade_config(tmp_path, maker)
    upgrade(config, arguments(shelf.url + "/fw.bin"))
    assert "\x1b" not in caplog.text
    assert "a" * 300 not in caplog.text


def test_a_server_that_never_comes_to_the_point_is_left_alone_in_the_end(tmp_path):
    """100 (Continue) again and again keeps the library in a loop of its own."""
    ended = threading.Event()
    server = socket.create_server(("127.0.0.1", 0))

    def serve():
        connection, _ = server.accept()
        with connection, contextlib.suppress(OSError):
            while True:
                connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)
        ended.set()

    thread = threading.Thread(target=serve)
    thread.start()
    clock = Clock()
    url = f"http://127.0.0.1:{server.getsockname()[1]}/"
    with pytest.raises(OSError, match="not there in time"):
        asyncio.run(fetch(url, tmp_path / "file", Limits(1000, clock.now() + 300), clock))
    assert ended.wait(20)
    thread.join()
    server.close()
    assert not [
        left for left in threading.enumerate() if left.name == "upgrade" and not left.join(20) and left.is_alive()
    ]
