"""`tbox decode`: packets to JSON, one object a line."""

import argparse
import sys
from typing import TYPE_CHECKING, Any

from agent.commands import add_mapping_argument, add_packets_argument, print_json

if TYPE_CHECKING:
    from agent.core.edition import Edition

NAME = "decode"
HELP = "print packets as JSON, one object a line"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    add_packets_argument(parser)
    add_mapping_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Decode everything; a damaged packet is one line with `error` or `bcc_ok` false, the next is handled all the same."""
    from agent.hexinput import pieces_of_arguments
    from agent.mapping.declared import declared_editions

    editions = declared_editions(args.mapping)
    status = 0
    for piece in pieces_of_arguments(args.packets):
        out = _decode(piece.data, piece.fault, editions)
        if "error" in out:
            error = out["error"]
            sys.stderr.write(f"tbox: {piece.place}: {error['what']}, offset {error['offset']}\n")
        elif not out["bcc_ok"]:
            sys.stderr.write(f"tbox: {piece.place}: wrong check code {out['bcc']:02X}\n")
        if "error" in out or not out["bcc_ok"]:
            status = 1
        print_json(out)
    return status


def _decode(data: bytes, fault: str, editions: "dict[str, Edition]") -> dict[str, Any]:
    from agent.core.errors import RemoteProtocolError
    from agent.core.packet import Packet
    from agent.packetjson import error_to_json, packet_to_json

    if fault:
        return {"error": {"what": fault, "clause": None, "offset": 0}}
    try:
        return packet_to_json(Packet(data), editions)
    except RemoteProtocolError as error:
        return {"error": error_to_json(error)}
