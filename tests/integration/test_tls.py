"""TLS to the platform, with certificates that OpenSSL's command line made."""

import asyncio
import ssl

import pytest

from agent.errors import LinkError
from agent.links.tcp import open_tcp, tls_context


async def talk(folder, host, authorities):
    """Send a megabyte through TLS and return what the link says of it: (authenticated, acknowledged, received)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "good.pem", folder / "good.key")
    received = bytearray()
    done = asyncio.Event()

    async def serve(reader, writer):
        while data := await reader.read(65536):
            received.extend(data)
        done.set()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        port = server.sockets[0].getsockname()[1]
        link = await open_tcp(host, port, 5, tls_context(authorities))
        for _ in range(16):
            link.write(bytes(65536))
            await link.drained()
        async with asyncio.timeout(10):
            while link.acknowledged() < 1 << 20:
                await asyncio.sleep(0.01)
        result = link.authenticated, link.acknowledged()
        link.close()
        await done.wait()
        return *result, len(received)
    finally:
        server.close()


def test_what_was_sent_under_tls_is_known_to_have_arrived(certificates):
    result = asyncio.run(talk(certificates, "localhost", str(certificates / "ca.pem")))
    assert result == (True, 1 << 20, 1 << 20)


@pytest.mark.parametrize(
    ("host", "trusted", "reason"),
    [("localhost", False, "certificate"), ("127.0.0.1", True, "certificate")],
    ids=["an authority nobody knows", "another name"],
)
def test_a_certificate_that_does_not_prove_the_host_is_no_link(certificates, host, trusted, reason):
    authorities = str(certificates / "ca.pem") if trusted else None
    with pytest.raises(LinkError, match=reason) as failed:
        asyncio.run(talk(certificates, host, authorities))
    assert failed.value.phase == "tls"


def test_a_port_without_tls_says_so():
    async def main():
        async def answer(_reader, writer):
            writer.write(b"220 this is no TLS\r\n")
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        try:
            await open_tcp("127.0.0.1", server.sockets[0].getsockname()[1], 5, tls_context(None))
        finally:
            server.close()

    with pytest.raises(LinkError, match="does this port speak TLS"):
        asyncio.run(main())


def test_a_platform_that_waits_for_packets_where_tls_begins_is_hinted_at():
    async def main():
        gone = asyncio.Event()

        async def listen(reader, writer):
            await reader.read()  # up to the end of the link
            writer.close()
            gone.set()

        server = await asyncio.start_server(listen, "127.0.0.1", 0)
        try:
            await open_tcp("127.0.0.1", server.sockets[0].getsockname()[1], 0.1, tls_context(None))
        finally:
            server.close()
            await gone.wait()

    with pytest.raises(LinkError, match=r"no answer within 0\.1 s; a platform that speaks no TLS is silent too"):
        asyncio.run(main())


def test_the_authorities_of_a_configuration_have_to_be_there(tmp_path):
    with pytest.raises(OSError, match="No such file"):
        tls_context(str(tmp_path / "none.pem"))
