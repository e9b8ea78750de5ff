"""Writes golden.jsonl: what ansible-core 2.19 makes of cases.txt, natively.
Run it where ansible-playbook of 2.19 (with passlib) is, given as its argument:
python3 golden.py /path/to/ansible-playbook"""
import json
import os
import re
import subprocess
import sys
import tempfile

here = os.path.dirname(os.path.abspath(__file__))


def main():
    cases = [line.rstrip("\n") for line in open(os.path.join(here, "cases.txt"), encoding="utf-8")]
    cases = [c for c in cases if c and not c.startswith("#")]
    tasks = [{"name": "case %d" % i, "debug": {"msg": c}, "ignore_errors": True} for i, c in enumerate(cases)]
    play = [{"hosts": "localhost", "gather_facts": False, "vars": json.load(open(os.path.join(here, "data.json"))), "tasks": tasks}]
    with tempfile.NamedTemporaryFile("w", suffix=".yml", delete=False) as f:
        json.dump(play, f)
    env = dict(os.environ, ORACLE_SET="from env", ANSIBLE_LOCALHOST_WARNING="False", ANSIBLE_INVENTORY_UNPARSED_WARNING="False",
               TZ="UTC", ANSIBLE_FORCE_COLOR="0")
    out = subprocess.run([sys.argv[1], "-i", "localhost,", "-c", "local", f.name], env=env, capture_output=True, text=True).stdout
    os.unlink(f.name)
    results = {}
    for part in re.split(r"(?m)^TASK \[case ", out)[1:]:
        n = int(part[:part.index("]")])
        m = re.search(r"(?ms)^(ok|fatal): \[localhost\](?:: FAILED!)? => (\{.*?^\}|\{.*?\}$)", part)
        results[n] = (m.group(1), json.loads(m.group(2)))
    with open(os.path.join(here, "golden.jsonl"), "w", encoding="utf-8") as g:
        for i, c in enumerate(cases):
            kind, r = results[i]
            row = {"in": c}
            if kind == "ok":
                row["out"] = r["msg"]
            else:
                msg = re.sub(r"^Task failed: Finalization of task args for 'ansible.builtin.debug' failed: Error while resolving value for 'msg': ", "", r["msg"])
                row["error"] = re.sub(r"^Error rendering template: ", "", msg)
            g.write(json.dumps(row, ensure_ascii=False) + "\n")


main()
