"""What SECURITY.md promises of the code: nothing read is run, and nothing listens but on this machine."""

import ast

import pytest
from test_project import AT_LEAST_MODULES, PACKAGE, ROOT

FORBIDDEN = {"eval", "exec", "compile", "pickle.load", "pickle.loads", "os.system", "os.popen", "joblib.load"}
FLAGS = {"allow_pickle": True, "trust_remote_code": True, "weights_only": False, "shell": True}
EVERYWHERE = ("0.0.0.0", "::", "*")  # addresses on which a server listens to the whole network


def breaches(source: str) -> list[str]:
    """Calls that could run what they read, and addresses of servers for everyone."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            flags = {k.arg: k.value.value for k in node.keywords if isinstance(k.value, ast.Constant)}
            bad = name in FORBIDDEN or any(flags.get(flag) is value for flag, value in FLAGS.items())
            if bad or (name == "torch.load" and flags.get("weights_only") is not True):
                found.append(ast.unparse(node))
            found += [ast.unparse(node) for k in node.keywords if k.arg in ("host", "ip", "address") and _open(k.value)]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and "0.0.0.0" in node.value:
            found.append(node.value)
    return found


def _open(value: ast.AST) -> bool:
    return isinstance(value, ast.Constant) and value.value in EVERYWHERE


MODULES = sorted((ROOT / PACKAGE).rglob("*.py"))


def test_all_modules_are_read():
    assert len(MODULES) > AT_LEAST_MODULES


@pytest.mark.parametrize("path", MODULES, ids=lambda path: ".".join(path.relative_to(ROOT).with_suffix("").parts))
def test_nothing_that_is_read_is_run(path):
    assert breaches(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "line, bad",
    [
        ("np.load(path, allow_pickle=True)", True),
        ("np.load(path, allow_pickle=False)", False),
        ("torch.load(path)", True),
        ("torch.load(path, weights_only=True)", False),
        ("AutoModel.from_pretrained(name, trust_remote_code=True)", True),
        ("pickle.loads(data)", True),
        ("eval(text)", True),
        ("model.eval()", False),
        ("re.compile(text)", False),
        ("subprocess.run(text, shell=True)", True),
        ("server.listen('0.0.0.0')", True),
        ("start(host='')", False),
        ("start(ip='*')", True),
    ],
)
def test_checker(line, bad):
    assert bool(breaches(line)) is bad
