"""Writes golden.jsonl: what PyYAML reads in the documents of cases.txt, and how
libyaml's emitter writes the values back. Run with a Python that has PyYAML 6."""
import json
import os

import yaml

here = os.path.dirname(os.path.abspath(__file__))


class Dumper(yaml.CSafeDumper):
    def ignore_aliases(self, data):
        return True


STYLES = {
    "default": dict(default_flow_style=None, allow_unicode=True),
    "nice": dict(default_flow_style=False, allow_unicode=True, indent=4),
    "ascii": dict(default_flow_style=False, sort_keys=False),
    "flow": dict(default_flow_style=True, width=40, allow_unicode=True),
    "wide": dict(default_flow_style=False, width=1000, allow_unicode=True, explicit_start=True),
}


def scalars():
    """Plain scalars around every rule of resolution."""
    for s in """yes Yes YES yEs no No NO on On ON oN off Off OFF true True TRUE tRUE false False FALSE y Y n N
        null Null NULL nULL ~ 0 1 -1 +1 00 01 0644 0o644 08 09 0x1F 0X1F 0xg -0x1f 0b101 0b2 -0b1 1_000 _1 1__0 0_7
        1. 1.0 -1.5 +1.5 .5 -.5 +.5 1.5e3 1.5e+3 1.5E-3 1e3 1e+3 .5e+1 1_0.5 .inf .Inf .INF -.inf +.inf .iNF .nan .NaN .NAN -.nan
        190:20:30 1:2 1:60 12:30:45 -1:30 12:30:45.5 0:1 2001-01-01 2001-1-1 2001-12-14t21:59:43.10-05:00
        2001-12-15T02:59:43.1Z 2001-12-14_21:59 1.2.3 1.2.3.4 = << 0. 0.0 -0 -0.0 +0 123456789012345678901234567890 1e400 0777777777777777777777777 1,000
        10.0.0.1 a-b 5m 1h 0x 0b - -- --- .. . :x x: a:b 'yes' "no" "0644" '1.5' !!str\ 1 !!int\ '7' !!float\ 1 !!null\ '' !!bool\ yes !!binary\ aGk=""".replace("\\ ", "\0").split():
        yield "k: " + s.replace("\0", " ")
    yield "k: 2001-12-14 21:59:43.10 -5"
    yield "k: 2001-12-14 21:59:43"
    yield "k: 2001-02-30"


def main():
    docs = open(os.path.join(here, "cases.txt"), encoding="utf-8", newline="").read().split("=====\n")
    with open(os.path.join(here, "golden.jsonl"), "w", encoding="utf-8") as out:
        for src in docs + list(scalars()):
            src = src.replace("→", "\t")
            row = {"in": src}
            try:
                loaded = list(yaml.load_all(src, yaml.CSafeLoader))
                row["out"] = repr(loaded)
            except Exception as e:
                row["error"] = type(e).__name__
                if getattr(e, "problem_mark", None):
                    row["line"] = e.problem_mark.line + 1
            else:
                row["dumps"] = {}
                for doc in loaded[:1]:
                    for name, o in STYLES.items():
                        row["dumps"][name] = yaml.dump(doc, Dumper=Dumper, **o)
            out.write(json.dumps(row, ensure_ascii=False) + "\n")


main()
