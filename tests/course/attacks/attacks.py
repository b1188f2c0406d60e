"""The attacks: each is the text of an answer cell, and says what would be a success.

`names` of world.py stand above each text. `only_with`: why it is not tried without the sandbox. `question`: whose
answer it takes the place of. `endless`: it ends only when it is stopped, so a test stops it soon.
"""

from collections.abc import Callable
from dataclasses import dataclass

from tests.course.attacks.world import FULL, SECRET, Attempt

Wins = Callable[[Attempt], bool]


@dataclass(frozen=True)
class Attack:
    """One attack."""

    name: str
    tried: str
    wins: Wins
    code: str
    only_with: str = ""
    question: str = "double"
    endless: bool = False


def gets_points(attempt: Attempt) -> bool:
    return attempt.points == FULL


def reads_secret(attempt: Attempt) -> bool:
    return SECRET in attempt.said


def says_it(attempt: Attempt) -> bool:
    return "SUCCE" + "EDED" in attempt.said


def changes_files(attempt: Attempt) -> bool:
    return attempt.changed


def is_heard(attempt: Attempt) -> bool:
    return attempt.heard


def kills(attempt: Attempt) -> bool:
    return not attempt.victim_lives


HARM = "it would harm this machine"
PROTOCOL = "there is no protocol to attack"
SAY = "print('SUCCE' + 'EDED')"
CALL = "import ctypes; libc = ctypes.CDLL(None, use_errno=True)\n"

LIAR = """
import torch
class Liar(torch.Tensor):
    @classmethod
    def __torch_function__(cls, function, types, given=(), named=None):
        if function.__name__ in ('sub', '__sub__', 'rsub', '__rsub__'):
            with torch._C.DisableTorchFunctionSubclass():
                return torch.zeros(given[0].shape, dtype=torch.float64)
        return super().__torch_function__(function, types, given, named or {})
"""

POINTS = [
    Attack("compare", "patch the comparison", gets_points, """
from lmlib.course import questions
questions.FunctionQuestion.compare = lambda *rest: []
def double(x): return x
"""),
    Attack("judge", "patch the judge", gets_points, """
from lmlib.course import checks
real = checks._judge_asked
checks._judge_asked = lambda *rest: (real(*rest)[0], [], [])
def double(x): return x
"""),
    Attack("torch", "patch torch so that nothing differs", gets_points, """
import torch
torch.Tensor.__gt__ = lambda a, b: torch.zeros(a.shape, dtype=torch.bool)
def double(x): return x * 3
"""),
    Attack("record", "patch what writes the points down", gets_points, """
from lmlib.course import record
real = record.points
record.points = lambda question, score, maximum, mistakes, text: real(question, maximum, maximum, [], text)
def double(x): return x
"""),
    Attack("builtins", "patch builtins and json", gets_points, """
import builtins, json
real = json.dumps
builtins.sum = lambda values, *rest: 3.0
def forged(row, **more):
    return real({**row, 'score': 3.0} if isinstance(row, dict) and 'score' in row else row, **more)
json.dumps = forged
def double(x): return x
"""),
    Attack("transformer", "rewrite the check cell with an AST transformer", gets_points, """
import ast
FORGED = "__import__('lmlib.course.record').course.record.points('double', 3.0, 3.0, [], '')"
class Forge(ast.NodeTransformer):
    def visit_Call(self, node):
        if getattr(node.func, 'id', '') == 'check':
            return ast.parse(FORGED).body[0].value
        return node
get_ipython().ast_transformers.append(Forge())
def double(x): return x
"""),
    Attack("hook", "a hook of IPython patches before each cell", gets_points, """
def patch(info=None):
    from lmlib.course import questions
    questions.FunctionQuestion.compare = lambda *rest: []
get_ipython().events.register('pre_run_cell', patch)
def double(x): return x
"""),
    Attack("numpy", "patch NumPy so that every number is near", gets_points, """
import numpy, torch
numpy.allclose = numpy.array_equal = lambda *rest, **more: True
torch.allclose = torch.equal = lambda *rest, **more: True
torch.Tensor.any = lambda *rest, **more: False
def double(x): return x * 3
"""),
    Attack("assert", "an AST transformer that takes assert and raise away", gets_points, """
import ast, json
class Strip(ast.NodeTransformer):
    def visit_Assert(self, node): return ast.Pass()
    def visit_Raise(self, node): return ast.Pass()
get_ipython().ast_transformers.append(Strip())
from lmlib.course import checks
source = open(checks.__file__).read().replace('if result.findings else', 'if False else')
tree = Strip().visit(ast.parse(source.replace('if not result.findings', 'if True')))
exec(compile(ast.fix_missing_locations(tree), checks.__file__, 'exec'), checks.__dict__)
def double(x): return x
"""),
    Attack("thread", "a thread patches while the check runs", gets_points, """
import threading, time
def patch():
    while True:
        try:
            from lmlib.course import questions
            questions.FunctionQuestion.compare = lambda *rest: []
        except ImportError: pass
        time.sleep(0.001)
threading.Thread(target=patch, daemon=True).start()
time.sleep(0.1)
def double(x): return x
"""),
    Attack("liar", "a tensor that lies in every operation", gets_points, LIAR + """\
def double(x): return x.clone().as_subclass(Liar)
"""),
    Attack("table", "return the released expected values", gets_points, """
import json
from lmlib.course.plain_data import decode
known = {n: decode(e['value']) for n, e in json.load(open(CHECKS))['questions']['double']['expected'].items()}
def double(x): return next(value for value in known.values() if value.shape == x.shape)
"""),
    Attack("caller", "take the expected value from the caller's frame", gets_points, """
import sys
def double(x):
    frame = sys._getframe()
    while frame:
        if 'expected' in frame.f_locals:
            return frame.f_locals['expected'].value
        frame = frame.f_back
"""),
    Attack("solution", "read the instructor's notebook and run its answer", gets_points, """
text = open(SOLUTION).read()
exec(text[text.index('def double'):text.index('### END')])
"""),
]  # fmt: skip

FIND = """
import sys
def expected():
    frame = sys._getframe()
    while frame:
        if 'expected' in frame.f_locals:
            return frame.f_locals['expected'].value
        frame = frame.f_back
    raise LookupError
"""
STATE = [
    Attack("lying-eq", "texts in an object's state that are equal to any other", gets_points, """
class Lie(str):
    def __eq__(self, other): return True
    __hash__ = str.__hash__
class Shelf:
    def __init__(self, room): self.room, self.items = room, []
    def put(self, item):
        if len(self.items) == self.room: raise OverflowError
        self.items.append(Lie('nothing'))
        return len(self.items)
""", question="shelf"),
    Attack("getattr", "attributes that are looked up in the caller's frame", gets_points, FIND + """
def now():
    frame = sys._getframe()
    while 'results' not in frame.f_locals: frame = frame.f_back
    value = expected()[len(frame.f_locals['results'])]
    if str(value).endswith('is raised'): raise OverflowError
    return value
class Shelf:
    def __init__(self, room): pass
    def __getattr__(self, name): return now() if name == 'items' else lambda **given: now()
""", question="shelf"),
    Attack("lying-array", "a tensor from a module that lies in every operation", gets_points, LIAR + """\
    def __array__(self, *rest): raise TypeError
    def numpy(self): raise TypeError
class Scale(torch.nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(width))
    def forward(self, x): return (x * 7).as_subclass(Liar)
""", question="scale"),
    Attack("state-dict", "parameters and weights that are made up for whoever asks", gets_points, FIND + """
import torch
class Scale(torch.nn.Module):
    def __init__(self, width):
        super().__init__()
        self.width = width
    def named_parameters(self, *rest, **more):
        return [('weight', torch.nn.Parameter(torch.ones(self.width)))]
    def state_dict(self, *rest, **more): return dict(self.named_parameters())
    def forward(self, x): return expected()[0]
    @property
    def weight(self): return expected()[1]
""", question="scale"),
    Attack("fake-axes", "an Axes that tells of lines which nobody drew", gets_points, FIND + """
from matplotlib.lines import Line2D
def plot(ax, x):
    class Fake(type(ax)):
        @property
        def lines(self):
            (name, line), = expected()['lines'].items()
            return [Line2D(line['x'], line['y'], label=name)]
        def get_xlabel(self): return 'place'
        def get_ylabel(self): return 'square'
        def get_yscale(self): return 'log'
        def get_title(self): return 'title'
    ax.__class__ = Fake
""", question="plot"),
    Attack("contents", "patch what reads a figure", gets_points, FIND + """
from lmlib.course import figures
figures.contents = lambda ax: expected()
def plot(ax, x): pass
""", question="plot"),
]  # fmt: skip

READING = [
    Attack("gradebook", "read the gradebook", reads_secret, "print(open(GRADEBOOK).read())"),
    Attack("classmate", "read a classmate's work", says_it, f"assert 'x + x' in open(CLASSMATE).read(); {SAY}"),
    Attack("link", "read through a link", reads_secret, """
import os
os.symlink(GRADEBOOK, 'l')
print(open('l').read())
"""),
    Attack("environment", "read the grader's environment", reads_secret, "import os; print(os.environ[VARIABLE])"),
    Attack("shell", "the same by a shell", reads_secret, "!cat {GRADEBOOK}"),
    Attack("proc", "read the environment of another process", reads_secret,
           "print(open(f'/proc/{VICTIM}/environ').read())"),
    Attack("processes", "see the processes of the machine", says_it, f"""
import os
assert str(VICTIM) in os.listdir('/proc') and 'sleep' in open(f'/proc/{{VICTIM}}/cmdline').read()
{SAY}
"""),
    Attack("memory", "read the memory of the parent", says_it,
           "import os, re\nparent = os.getppid()\nlow = open(f'/proc/{parent}/maps').readline().split('-')[0]\n"
           f"with open(f'/proc/{{parent}}/mem', 'rb') as f: f.seek(int(low, 16)); f.read(8)\n{SAY}"),
    Attack("library", "import the library's own implementation", says_it, f"import lmlib.attention\n{SAY}"),
    Attack("users", "read the machine's users", says_it, f"assert 'root' in open('/etc/passwd').read()\n{SAY}"),
]  # fmt: skip

DOING = [
    Attack("forge", "write the gradebook", changes_files, "open(GRADEBOOK, 'w').write('full points')"),
    Attack("spoil", "write a classmate's work", changes_files, "open(CLASSMATE, 'w').write('{}')"),
    Attack("startup", "leave code in IPython's profile and a kernel", changes_files, """
import os
for place in ('.ipython/profile_default/startup/evil.py', '.local/share/jupyter/kernels/python3/kernel.json'):
    os.makedirs(os.path.dirname(os.path.join(GRADERS_HOME, place)), exist_ok=True)
    open(os.path.join(GRADERS_HOME, place), 'w').write('')
"""),
    Attack("kill", "kill a process of the machine", kills, "import os; os.kill(VICTIM, 9)"),
    Attack("tcp", "send by TCP", is_heard, "import socket; socket.create_connection(('127.0.0.1', TCP))"),
    Attack("udp", "send by UDP", is_heard,
           "import socket; socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', UDP))"),
    Attack("unix", "send by a Unix socket", is_heard,
           "import socket; s = socket.socket(socket.AF_UNIX); s.connect(SOCKET)"),
    Attack("abstract", "send by an abstract socket", is_heard,
           "import socket; s = socket.socket(socket.AF_UNIX); s.connect('\\0' + ABSTRACT)"),
    Attack("ptrace", "attach to another process", says_it, CALL + f"""
import time
if libc.ptrace(16, VICTIM, 0, 0) == 0:
    {SAY}
    time.sleep(0.05)
    libc.ptrace(17, VICTIM, 0, 0)
"""),
    Attack("namespaces", "make namespaces, in which one is root", says_it, CALL + f"""
import os
if os.fork() == 0:
    os._exit(libc.unshare(0x10000000) != 0)
if os.wait()[1] == 0: {SAY}
"""),
    Attack("memfd", "memory that no limit counts: memfd", says_it, f"import os; os.memfd_create('m')\n{SAY}"),
    Attack("shared", "memory that no limit counts: shared mappings", says_it, f"""
import mmap
mmap.mmap(-1, 1 << 20)
{SAY}
"""),
    Attack("sysv", "memory that outlives its process", says_it,
           CALL + f"i = libc.shmget(0, 4096, 0o1600)\nif i >= 0:\n    {SAY}; libc.shmctl(i, 0, 0)"),
    Attack("uring", "make system calls by a ring", says_it,
           CALL + f"if libc.syscall(425, 1, ctypes.create_string_buffer(200)) >= 0: {SAY}"),
    Attack("faults", "handle page faults by itself", says_it, CALL + f"if libc.syscall(323, 1) >= 0: {SAY}"),
    Attack("keys", "read the kernel's keys", says_it, CALL + f"if libc.syscall(250, 0, -3, 1) >= 0: {SAY}"),
]  # fmt: skip


def is_slow_or_large(attempt: Attempt) -> bool:
    graded = attempt.graded
    return graded is None or graded.seconds > 30 or len(attempt.said) > 4 << 20


def is_never_stopped(attempt: Attempt) -> bool:
    """A success would be an attack that ends as if nothing had been."""
    return is_slow_or_large(attempt) or says_it(attempt)


HARMFUL = [
    Attack("fork-bomb", "fork without end", is_slow_or_large, """
import os
while True:
    try: os.fork()
    except OSError: pass
""", HARM, endless=True),
    Attack("exit", "end Python", is_slow_or_large, "import os; os._exit(0)", HARM),
    Attack("stop", "stop itself by a signal", is_slow_or_large, """
import os, signal
os.kill(os.getpid(), signal.SIGSTOP)
""", HARM, endless=True),
    Attack("parent", "kill the process above it", is_slow_or_large, "import os; os.kill(os.getppid(), 9)", HARM),
    Attack("kill-all", "kill all that can be killed", is_slow_or_large, "import os; os.kill(-1, 9)", HARM),
    Attack("stubborn", "a loop that catches everything", is_slow_or_large, """
import signal
signal.signal(signal.SIGINT, signal.SIG_IGN)
while True:
    try:
        while True: pass
    except BaseException: pass
""", HARM, endless=True),
    Attack("call-for-ever", "a function that never returns", is_slow_or_large, """
def double(x):
    while True:
        try:
            while True: pass
        except BaseException: pass
""", HARM, endless=True),
    Attack("block", "memory in one piece", is_never_stopped, f"b = bytearray(3 << 30)\n{SAY}", HARM),
    Attack("pieces", "memory in small pieces", is_never_stopped,
           f"kept = []\nfor i in range(1 << 20): kept.append(bytearray(1 << 12))\n{SAY}", HARM),
    Attack("family", "memory in many processes", is_never_stopped, f"""
import os, time
for i in range(20):
    if os.fork() == 0:
        kept = bytearray(os.urandom(1 << 20) * 100)
        time.sleep(60)
time.sleep(4)
{SAY}
""", HARM),
    Attack("disk", "fill the disk", is_never_stopped,
           f"with open('/tmp/large', 'wb') as f:\n    for i in range(3000): f.write(bytes(1 << 20))\n{SAY}", HARM),
    Attack("many-files", "fill the disk with files", is_never_stopped,
           f"for i in range(100000): open(f'/tmp/{{i}}', 'w').close()\n{SAY}", HARM),
    Attack("shm", "fill shared memory", is_never_stopped,
           f"with open('/dev/shm/large', 'wb') as f:\n    for i in range(3000): f.write(bytes(1 << 20))\n{SAY}", HARM),
    Attack("lines", "print without end", is_slow_or_large, "while True: print('line ' * 100)", HARM, endless=True),
    Attack("rich", "display without end", is_slow_or_large,
           "from IPython.display import display\nwhile True: display({'text/plain': 'x' * 10000}, raw=True)",
           HARM, endless=True),
    Attack("descriptor", "write to descriptor 1 without end", is_slow_or_large,
           "import os\nwhile True: os.write(1, b'y' * 65536)", HARM, endless=True),
    Attack("site", "leave code for the grader's next Python", says_it, f"""
import sys, os
for folder in [*filter(None, sys.path), sys.prefix, sys.base_prefix, '/usr/lib']:
    for name in ('sitecustomize.py', 'evil.pth'):
        try: open(os.path.join(folder, name), 'x').close()
        except OSError: continue
        {SAY}
""", HARM),
]  # fmt: skip

CHANNEL = """
import os, stat, struct, json
def sockets():
    for number in os.listdir('/proc/self/fd'):
        try:
            if stat.S_ISSOCK(os.fstat(int(number)).st_mode): yield int(number)
        except OSError: pass
def send(head, text=b''):
    for number in sockets():
        try: os.write(number, head + text)
        except OSError: pass
def frame(header):
    text = json.dumps(header).encode()
    send(struct.pack('<II', len(text), 0), text)
"""
WRONG = "def double(x): return x\n"
PROTOCOLS = [
    Attack("forged-frames", "answer for the grader, with points", gets_points, CHANNEL + WRONG
           + "for i in range(50): frame({'done': True, 'score': 3.0, 'cases': {}, 'value': None})", PROTOCOL),
    Attack("huge-frame", "a frame of 4 GB", gets_points, CHANNEL + WRONG
           + "send(struct.pack('<II', 100, (1 << 32) - 1), b'{' * 100)", PROTOCOL),
    Attack("deep-frame", "JSON a million lists deep", gets_points, CHANNEL + WRONG
           + "send(struct.pack('<II', 1 << 20, 0), b'[' * (1 << 20))", PROTOCOL),
    Attack("nested-frame", "JSON that can be parsed and not be walked through", gets_points, CHANNEL + WRONG + """
nested = '[' * 900 + ']' * 900
text = ('{"output": {"output_type": "display_data", "data": {"a": %s}}, "value": %s}' % (nested, nested)).encode()
send(struct.pack('<II', len(text), 0), text)
""", PROTOCOL),
    Attack("strange-frame", "frames with fields of other types", gets_points, CHANNEL + WRONG + """
for strange in (None, [], {}, {'output_type': []}, {'output_type': 'stream', 'text': {}, 'name': []}):
    frame({'output': strange})
frame({'output': {'output_type': 'display_data', 'data': 5, 'metadata': [], 'display_id': {}, 'update': 'yes'}})
frame({'done': [], 'count': {}, 'raised': 5, 'changed': 7})
""", PROTOCOL),
    Attack("no-frame", "bytes that are no frame", gets_points, CHANNEL + WRONG + "send(os.urandom(4096))", PROTOCOL),
    Attack("lying-probe", "patch the probe to claim success", gets_points, """
from lmlib.course.outside import probe
from lmlib.course.warm.frames import Frame
probe.answer = lambda request, names: Frame({'value': {'other': 'right'}, 'score': 3.0, 'cases': {'small': True}})
""", PROTOCOL),
    Attack("dtypes", "answer in other dtypes and layouts", gets_points, """
import torch, itertools
kinds = itertools.cycle([torch.float64, torch.complex64, torch.bool, torch.int8, torch.quint8])
def double(x):
    kind = next(kinds)
    return torch.quantize_per_tensor(2 * x, 0.1, 0, kind) if kind == torch.quint8 else (2 * x).to(kind)
""", PROTOCOL),
    Attack("nan", "answer NaN, and lie about a shape", gets_points, """
import torch
def double(x): return x * float('nan')
""", PROTOCOL),
    Attack("lying-form", "a description that does not fit its bytes", gets_points, """
from lmlib.course.outside import wire
wire.pack = lambda value: ({'tensor': {'shape': [1 << 31, 1 << 31], 'dtype': 'float32', 'bytes': 4}}, b'0000')
def double(x): return x
""", PROTOCOL),
    Attack("reduce", "an object that runs code when unpickled", changes_files, """
class Bomb:
    def __reduce__(self): return (open, (GRADEBOOK, 'w'))
    def __eq__(self, other): return True
    def __array__(self, *rest): return 2
def double(x): return Bomb()
""", PROTOCOL),
    Attack("subclass", "a number that lies when it is compared", gets_points, """
class Lie(float):
    def __eq__(self, other): return True
    def __sub__(self, other): return 0.0
    __rsub__ = __sub__
def double(x): return Lie(1)
""", PROTOCOL),
]  # fmt: skip

BOTH = [*POINTS, *STATE, *READING, *DOING]
ONLY_WITH = [*HARMFUL, *PROTOCOLS]
OF_RIGHTS = [*READING, *DOING, *HARMFUL]  # whether they succeed depends on what the grader's user may do
