"""Writes golden.jsonl: what real Jinja2 makes of cases.txt and of a table of
operators. Run it with a Python that has Jinja2 3.1: python3 golden.py"""
import itertools
import json
import os

import jinja2

here = os.path.dirname(os.path.abspath(__file__))


class Missing(jinja2.StrictUndefined):
    """Strict, but an attribute of something undefined is undefined again."""

    def __getattr__(self, name):
        if name[:2] == "__":
            raise AttributeError(name)
        return self

    def __getitem__(self, name):
        return self


data = json.load(open(os.path.join(here, "data.json")))


def environment(options):
    return jinja2.Environment(
        undefined=Missing, loader=jinja2.DictLoader(data["templates"]),
        extensions=["jinja2.ext.do", "jinja2.ext.loopcontrols"],
        trim_blocks="trim" in options, lstrip_blocks="lstrip" in options, keep_trailing_newline="keep" in options)


def cases():
    for line in open(os.path.join(here, "cases.txt"), encoding="utf-8"):
        line = line.rstrip("\n")
        if not line or line.startswith("#"):
            continue
        options = []
        for o in ("trim", "lstrip", "keep"):
            if line.startswith("[" + o + "]"):
                options.append(o)
                line = line[len(o) + 2:]
        yield line.replace("⏎", "\n").replace("→", "\t"), options


def table():
    """Every operator on every pair of a few values of each type."""
    values = ["0", "7", "-3", "2.5", "-0.5", "true", "none", "''", "'ab'", "[]", "[1, 2]", "(1,)", "{}", "{'a': 1}",
              "9223372036854775807", "1e300"]
    for a, b in itertools.product(values, values):
        for op in ("+", "-", "*", "/", "//", "%", "==", "<", "in", "and"):
            if op == "*" and "9223372036854775807" in (a, b) and not all(x.lstrip("-")[:1].isdigit() for x in (a, b)):
                continue
            yield "{{ %s %s %s }}" % (a, op, b), []
    for a in values:
        for f in ("abs", "int", "float", "length", "string", "list", "first", "sum", "sort", "upper", "tojson", "round", "default(1, true)"):
            yield "{{ %s | %s }}" % ("(" + a + ")", f), []


def main():
    with open(os.path.join(here, "golden.jsonl"), "w", encoding="utf-8") as out:
        seen = set()
        for text, options in itertools.chain(cases(), table()):
            if (text, tuple(options)) in seen:
                continue
            seen.add((text, tuple(options)))
            row = {"in": text}
            if options:
                row["options"] = options
            variables = json.loads(json.dumps(data["vars"]))
            try:
                row["out"] = environment(options).from_string(text).render(variables)
            except jinja2.TemplateSyntaxError as e:
                row["error"] = "syntax"
                row["line"] = e.lineno
            except Exception as e:  # whatever Python raises is a failed case
                row["error"] = type(e).__name__
            out.write(json.dumps(row, ensure_ascii=False) + "\n")


main()
