"""`tbox explain`: what every byte of a packet means."""

import argparse
import sys

from agent.commands import add_mapping_argument, add_packets_argument, print_json

NAME = "explain"
HELP = "show what every byte of a packet means"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    add_packets_argument(parser)
    add_mapping_argument(parser)
    parser.add_argument("--all", action="store_true", help="show long lists and contents whole")
    parser.add_argument("--json", action="store_true", help="print {rows, findings}, one object a packet and line")


def run(args: argparse.Namespace) -> int:
    """Explain every packet as far as it goes, then what is wrong with it; the reason of damage goes to stderr."""
    from agent.diagnosis import diagnose, is_broken
    from agent.diagnosis_texts import as_json, print_findings
    from agent.explain import explain, print_explanation
    from agent.hexinput import pieces_of_arguments
    from agent.mapping.declared import declared_editions

    editions = declared_editions(args.mapping)
    status = 0
    for piece in pieces_of_arguments(args.packets):
        fault: object = piece.fault
        findings = [] if fault else diagnose(piece.data, editions)
        if not fault and args.json:
            explanation = explain(piece.data, args.lang, editions)
            rows = [row.as_json() for row in explanation.rows]
            print_json({"rows": rows, "findings": [as_json(finding, args.lang) for finding in findings]})
            fault = explanation.fault
        elif not fault:
            fault = print_explanation(piece.data, args.lang, args.all, editions)
            print_findings(findings, args.lang)
        if is_broken(findings):
            status = 1
        if fault:
            sys.stdout.flush()
            sys.stderr.write(f"tbox: {piece.place}: {fault}\n")
            status = 1
    return status
