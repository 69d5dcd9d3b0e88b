"""8-bit matrix products of the outside libraries: the baseline of `benches/benches/gemmlowp.rs`.

M×K activations (u8 with a zero point) times K×N constant weights (s8, one multiplier an output), packed beforehand
where the library can, and a u8 result. `ort MatMulInteger` and `torch _int_mm` stop at the 32-bit sums and so do less.
Runs the peers and ours by turns, so that a busy machine slows all, each peer's result checked against numpy first.

    python benches/peers/gemm.py [--threads 1] [--isa vnni] [--rounds 3] [--seconds 0.3] [--only 64x64x64]
                                 [--peer-only] [--minima] [--onednn PREFIX]... [--csv FILE]

Shapes are written MxNxK. `--isa vnni` compares without AMX, which is hidden from every peer, `--isa best` with all that
the processor has; by default both, one after the other. GOP/s are 2·M·N·K over the median, or over the shortest time with
`--minima`, which is all that can be read on a busy machine: two threads that wait for each other then lose whole time
slices. `of peak` is the share of what a loop on registers reaches in our bench.
"""

import argparse
import ctypes
import datetime
import importlib.util
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

SHAPES = [
    (64, 64, 64), (256, 256, 256), (512, 512, 512), (1024, 1024, 1024), (2048, 2048, 2048),
    (1, 4096, 4096), (8, 4096, 4096), (3136, 64, 576), (784, 128, 1152), (196, 256, 2304), (49, 512, 4608),
]
LHS_ZERO, RESULT_ZERO = 119, 131
BATCH_SECONDS = 20e-6  # a shorter product is timed several at once, or the clock would count too


def label(shape):
    return "x".join(map(str, shape))


def write_problem(shape, folder):
    """Operands, and what the product must give: `sums` in 32 bits and `expected` in 8."""
    m, n, k = shape
    rng = np.random.default_rng(m + n + k)
    lhs = rng.integers(0, 256, (m, k), dtype=np.uint8)
    weights = rng.integers(-127, 128, (k, n), dtype=np.int8)
    # float64 holds these sums exactly. The multipliers spread the results over 8 bits and saturate a few.
    sums = (lhs.astype(np.float64) - LHS_ZERO) @ weights.astype(np.float64)
    multipliers = (rng.uniform(0.5, 1.5, n) * 50 / sums.std()).astype(np.float32)
    expected = np.clip(np.rint(sums * multipliers) + RESULT_ZERO, 0, 255).astype(np.uint8)
    arrays = {"lhs": lhs, "weights": weights, "multipliers": multipliers, "sums": sums.astype(np.int32)}
    arrays |= {"expected": expected, "zero_points": np.array([LHS_ZERO, RESULT_ZERO], np.int32)}
    for name, array in arrays.items():
        array.tofile(folder / name)


def read_problem(shape, folder):
    m, n, k = shape
    kinds = {"lhs": (np.uint8, (m, k)), "weights": (np.int8, (k, n)), "multipliers": (np.float32, n)}
    kinds |= {"sums": (np.int32, (m, n)), "expected": (np.uint8, (m, n))}
    return {name: np.fromfile(folder / name, kind).reshape(size) for name, (kind, size) in kinds.items()}


def check(peer, shape, got, problem):
    """32-bit sums are exact; 8 bits may be off by one where a product in float32 rounds to the other side."""
    if got.dtype == np.int32:
        right = np.array_equal(got, problem["sums"])
    else:
        off = np.abs(got.astype(int) - problem["expected"])
        right = off.max() <= 1 and (off > 0).mean() < 0.002
    if not right:
        raise ValueError(f"{peer} {label(shape)}: not the product that numpy gives")


def measure(step, seconds):
    """Times of single products in microseconds."""
    start, warm = time.perf_counter(), 0
    while warm == 0 or time.perf_counter() - start < seconds / 4:
        step()
        warm += 1
    batch = range(max(1, int(BATCH_SECONDS * warm / (time.perf_counter() - start))))
    times, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        for _ in batch:
            step()
        times.append((time.perf_counter() - start) * 1e6 / len(batch))
    return times


# --- the libraries: each gives {peer: function of a problem that gives (step, result)} ---


def torch_peers(threads):
    import torch

    torch.set_num_threads(threads)

    def int_mm(p):
        lhs = torch.from_numpy((p["lhs"] ^ 0x80).view(np.int8))  # both sides signed: the zero point moves by 128
        weights, moved = torch.from_numpy(p["weights"]), LHS_ZERO - 128
        out = torch.empty(p["sums"].shape, dtype=torch.int32)
        column_sums = p["weights"].sum(0, dtype=np.int32)
        return lambda: torch._int_mm(lhs, weights, out=out), lambda: out.numpy() - moved * column_sums

    def module(engine):
        def peer(p):
            torch.backends.quantized.engine = engine
            n = len(p["multipliers"])
            lhs = torch._make_per_tensor_quantized_tensor(torch.from_numpy(p["lhs"]), 1.0, LHS_ZERO)
            rows = torch.from_numpy(np.ascontiguousarray(p["weights"].T))
            scales = torch.from_numpy(p["multipliers"].astype(np.float64))
            weights = torch._make_per_channel_quantized_tensor(rows, scales, torch.zeros(n, dtype=torch.long), 0)
            packed, linear = torch.ops.quantized.linear_prepack(weights, None), torch.ops.quantized.linear
            step = lambda: linear(lhs, packed, 1.0, RESULT_ZERO)
            return step, lambda: step().int_repr().numpy()

        return peer

    def pointwise(p):
        """What the compiler of PyTorch 2 emits: oneDNN without the quantized tensor around it."""
        lhs, scales = torch.from_numpy(p["lhs"]), torch.from_numpy(p["multipliers"])
        zeros = torch.zeros(len(p["multipliers"]), dtype=torch.long)
        rows = torch.from_numpy(np.ascontiguousarray(p["weights"].T))
        packed = torch.ops.onednn.qlinear_prepack(rows, list(lhs.shape))
        linear = torch.ops.onednn.qlinear_pointwise
        args = (lhs, 1.0, LHS_ZERO, packed, scales, zeros, None, 1.0, RESULT_ZERO, torch.uint8, "none", [], "")
        return lambda: linear(*args), lambda: linear(*args).numpy()

    # Not the engine `onednn`: PyTorch 2.15 asks it for a layout that only oneDNN's reference loop takes (0.04 GOP/s).
    engines = [e for e in ("fbgemm", "x86") if e in torch.backends.quantized.supported_engines]
    return {"torch _int_mm": int_mm} | {f"torch {e}": module(e) for e in engines} | {"torch qlinear": pointwise}


def onnx_model(p, nodes, constants, result):
    """Serialized graph of `nodes` from `lhs` to `result`; `constants` besides the zero points are numpy arrays."""
    import onnx
    from onnx import helper, numpy_helper

    constants |= {"lhs_zero": np.array(LHS_ZERO, np.uint8), "result_zero": np.array(RESULT_ZERO, np.uint8)}
    constants |= {"one": np.array(1, np.float32), "weights_zero": np.zeros(p["weights"].shape[1], np.int8)}
    constants |= {"weights": p["weights"], "multipliers": p["multipliers"]}
    used = {name for node in nodes for name in node[1]}
    graph = helper.make_graph(
        [helper.make_node(op, inputs, [output], **attributes) for op, inputs, output, attributes in nodes], "product",
        [helper.make_tensor_value_info("lhs", onnx.TensorProto.UINT8, p["lhs"].shape)],
        [helper.make_tensor_value_info("result", helper.np_dtype_to_tensor_dtype(result.dtype), result.shape)],
        [numpy_helper.from_array(array, name) for name, array in constants.items() if name in used],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10).SerializeToString()


def onnxruntime_peers(threads):
    import onnxruntime

    def session(op, inputs, result_name):
        def peer(p):
            model = onnx_model(p, [(op, inputs, "result", {})], {}, p[result_name])
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
            session = onnxruntime.InferenceSession(model, options, ["CPUExecutionProvider"])
            result = onnxruntime.OrtValue.ortvalue_from_numpy(np.zeros_like(p[result_name]))
            binding = session.io_binding()
            binding.bind_ortvalue_input("lhs", onnxruntime.OrtValue.ortvalue_from_numpy(p["lhs"]))
            binding.bind_ortvalue_output("result", result)
            return lambda: session.run_with_iobinding(binding), lambda: result.numpy()

        return peer

    scaled = ["lhs", "one", "lhs_zero", "weights", "multipliers", "weights_zero", "one", "result_zero"]
    return {
        "ort MatMulInteger": session("MatMulInteger", ["lhs", "weights", "lhs_zero", "weights_zero"], "sums"),
        "ort QLinearMatMul": session("QLinearMatMul", scaled, "expected"),
    }


def openvino_peers(threads):
    import openvino

    core = openvino.Core()
    settings = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "ENABLE_CPU_PINNING": False}

    def peer(p):
        """The quantizers stand around a float product; OpenVINO's compiler makes the 8-bit one of it."""
        nodes = [
            ("DequantizeLinear", ["lhs", "one", "lhs_zero"], "a", {}),
            ("DequantizeLinear", ["weights", "multipliers", "weights_zero"], "b", {"axis": 1}),
            ("MatMul", ["a", "b"], "c", {}),
            ("QuantizeLinear", ["c", "one", "result_zero"], "result", {}),
        ]
        model = core.read_model(onnx_model(p, nodes, {}, p["expected"]))
        request = core.compile_model(model, "CPU", settings).create_infer_request()
        request.set_input_tensor(openvino.Tensor(p["lhs"]))
        return request.infer, lambda: request.get_output_tensor().data

    return {"openvino": peer}


LIBRARIES = {"torch": torch_peers, "onnxruntime": onnxruntime_peers, "openvino": openvino_peers}


# --- one process a library, so that the ISA, read once, can be set and no thread pool meets another ---


def hide_amx():
    """Makes the kernel refuse AMX to this process: a signal stack too small for the tiles' state forbids them."""
    libc = ctypes.CDLL(None, use_errno=True)

    class Stack(ctypes.Structure):
        _fields_ = [("base", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t)]

    hide_amx.memory = ctypes.create_string_buffer(8192)
    stack = Stack(ctypes.addressof(hide_amx.memory), 0, 8192)
    arch_prctl, request_permission, tile_data = 158, 0x1023, 18
    if libc.sigaltstack(ctypes.byref(stack), None) or libc.syscall(arch_prctl, request_permission, tile_data) == 0:
        raise OSError("AMX could not be hidden")


def serve(library, threads, isa):
    """Answers each line `{peer, shape, folder, seconds}` with `{median, minimum}`, after one with the peers' names."""
    if isa == "vnni":
        hide_amx()
    peers, steps = LIBRARIES[library](threads), {}
    print(json.dumps(list(peers)), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        peer, shape = request["peer"], tuple(request["shape"])
        try:
            if (peer, shape) not in steps:
                problem = read_problem(shape, pathlib.Path(request["folder"]))
                step, result = peers[peer](problem)
                step()
                check(peer, shape, result(), problem)
                steps[peer, shape] = step
            times = measure(steps[peer, shape], request["seconds"])
            print(json.dumps([statistics.median(times), min(times)]), flush=True)
        except Exception as error:
            print(json.dumps((str(error) or repr(error)).splitlines()[0]), flush=True)


def environment(threads, isa):
    count = str(threads)
    variables = os.environ | {"OMP_NUM_THREADS": count, "MKL_NUM_THREADS": count}
    return variables | ({"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_VNNI"} if isa == "vnni" else {})


class Library:
    """A Python library in its process."""

    def __init__(self, name, args, isa):
        command = [sys.executable, "-W", "ignore", __file__, "--serve", name, "--isa", isa, "--threads", str(args.threads)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.name = name
        self.process = subprocess.Popen(command, env=environment(args.threads, isa), **pipes)
        self.peers = self.answer()

    def answer(self):
        line = self.process.stdout.readline()
        return json.loads(line) if line else f"ended with code {self.process.wait()}"

    def measure(self, peer, shape, folder, seconds):
        if self.process.poll() is not None:
            return f"ended with code {self.process.returncode}"
        request = {"peer": peer, "shape": shape, "folder": str(folder), "seconds": seconds}
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return self.answer()

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class OneDnn:
    """oneDNN through `onednn_gemm.cpp`, which is one process a measurement."""

    def __init__(self, prefix, folder, args, isa):
        self.threads, self.program = args.threads, folder / f"onednn{abs(hash(prefix))}"
        self.variables = environment(args.threads, isa)
        library = prefix / "lib"
        if (library / "libdnnl.so").exists():
            self.variables["LD_LIBRARY_PATH"] = str(library)
        # Intel's build runs on SYCL, which finds the processor only through this driver.
        self.sycl = (library / "libintelocl.so").exists()
        if self.sycl:
            self.variables |= {"OCL_ICD_FILENAMES": str(library / "libintelocl.so"), "ONEDNN_VERBOSE": "none"}
        source = pathlib.Path(__file__).with_name("onednn_gemm.cpp")
        places = [f"-I{prefix / 'include'}", f"-L{library}", f"-Wl,-rpath-link,{library}"]
        command = ["g++", "-O2", "-std=c++17", str(source), "-o", str(self.program), *places, "-ldnnl"]
        if not self.program.exists():
            subprocess.run(command, check=True, capture_output=True)
        self.version = self.run("version")[0] + (" sycl" if self.sycl else "")
        self.peers = [f"oneDNN {self.version}"]

    def run(self, *words):
        command = [str(self.program), *map(str, words)]
        if self.sycl:  # its pool of threads has no setting, but keeps to the processors it may use
            command = ["taskset", "-c", f"0-{self.threads - 1}", *command]
        output = subprocess.run(command, env=self.variables, check=True, capture_output=True, text=True).stdout
        return output.split()

    def measure(self, peer, shape, folder, seconds):
        try:
            words = self.run(*shape, seconds, folder)
            result = np.fromfile(folder / "result", np.uint8).reshape(shape[:2])
            check(peer, shape, result, read_problem(shape, folder))
        except (subprocess.CalledProcessError, ValueError) as error:
            return str(error)
        return [float(words[3]), float(words[4])]

    def close(self):
        pass


def open_peers(args, isa, folder):
    """Those of the outside libraries that are here; says which are not."""
    opened = []
    for name in LIBRARIES:
        needed = [name] + (["onnx"] if name != "torch" else [])
        missing = [module for module in needed if importlib.util.find_spec(module) is None]
        if missing:
            print(f"{name}: left out, {' and '.join(missing)} not installed (see PEERS.md)")
        else:
            opened.append(Library(name, args, isa))
    for prefix in args.onednn or [pathlib.Path(sys.prefix), pathlib.Path("/usr")]:
        if not (prefix / "include/oneapi/dnnl/dnnl.hpp").exists() or shutil.which("g++") is None:
            print(f"oneDNN in {prefix.name or prefix}: left out, no g++ or no dnnl.hpp (see PEERS.md)")
            continue
        try:
            opened.append(OneDnn(prefix, folder, args, isa))
        except subprocess.CalledProcessError as error:
            print(f"oneDNN in {prefix.name or prefix}: left out, {error.stderr or error}")
    for library in opened:
        if isinstance(library.peers, str):
            print(f"{library.name}: left out, {library.peers}")
    return [library for library in opened if isinstance(library.peers, list)]


def ours(args, isa):
    """`{shape: (median, minimum)}` in microseconds and the peak in GOP/s, of `cargo bench --bench gemmlowp`."""
    settings = {"NNC_PEER_SECONDS": str(args.seconds), "NNC_THREADS": str(args.threads)}
    settings |= {"NNC_PEER_ONLY": args.only} if args.only else {}
    settings |= {"NNC_GEMM_ISA": "avx512vnni"} if isa == "vnni" else {}
    command = ["cargo", "bench", "--quiet", "-p", "nnc-benches", "--bench", "gemmlowp"]
    output = subprocess.run(command, env=os.environ | settings, check=True, stdout=subprocess.PIPE, text=True).stdout
    times, peak = {}, 0.0
    for words in map(str.split, output.splitlines()):
        if words[:1] == ["nnc"]:
            found = (float(words[3]), float(words[4]))
            times[words[2]] = min(found, times.get(words[2], found))
        elif words[:1] == ["peak"]:
            peak = max(peak, float(words[2]))
    return times, peak


def run(args, isa, folder):
    """`{(peer, shape): [(median, minimum), one a round]}`, and the peak; one peer's rounds are apart in time."""
    libraries, rounds, peaks = open_peers(args, isa, folder), {}, []
    shapes = [shape for shape in SHAPES if args.only in (None, label(shape))]
    for shape in shapes:
        if not (folder / label(shape)).exists():
            (folder / label(shape)).mkdir()
            write_problem(shape, folder / label(shape))
    failed = set()
    for _ in range(args.rounds):
        for shape in shapes:
            for library in libraries:
                for peer in library.peers:
                    if (peer, shape) in failed:
                        continue
                    answer = library.measure(peer, shape, folder / label(shape), args.seconds)
                    if isinstance(answer, str):
                        failed.add((peer, shape))
                        print(f"{peer} {label(shape)}: {answer}", flush=True)
                    else:
                        rounds.setdefault((peer, shape), []).append(answer)
        if not args.peer_only:
            times, peak = ours(args, isa)
            peaks.append(peak)
            for shape in shapes:
                rounds.setdefault(("nnc", shape), []).append(times[label(shape)])
    for library in libraries:
        library.close()
    # The bench's loop runs on one thread.
    return rounds, args.threads * max(peaks, default=0.0)


def summarize(rounds):
    return {key: (statistics.median(m for m, _ in of), min(m for _, m in of)) for key, of in rounds.items()}


def report(times, peak, which):
    """The table: GOP/s of each peer and, where ours ran, the ratio to the best and the share of the peak.

    `which` is 0 for medians and 1 for minima; the ratio of the minima stands beside in both.
    """
    peers = list(dict.fromkeys(peer for peer, _ in times if peer != "nnc"))
    shapes = list(dict.fromkeys(shape for _, shape in times))
    gops = lambda key, column=which: 2e-3 * np.prod(key[1], dtype=float) / times[key][column] if key in times else 0.0
    with_ours = any(peer == "nnc" for peer, _ in times)
    tail = f"{'nnc':>8} {'ratio':>6} {'of min':>6} {'of peak':>8}" if with_ours else ""
    widths = {peer: max(len(peer), 6) for peer in peers}
    print(f"{'GOP/s':14}" + "".join(f" {peer:>{widths[peer]}}" for peer in peers) + f"  {'best peer':24}" + tail)
    for shape in shapes:
        line = f"{label(shape):14}"
        line += "".join(f" {gops((peer, shape)):{widths[peer]}.0f}" for peer in peers)
        best = max(peers, key=lambda peer: gops((peer, shape)))
        top = gops((best, shape))
        line += f"  {best + f' {top:.0f}':24}"
        if with_ours:
            own = gops(("nnc", shape))
            fastest = max(gops((peer, shape), 1) for peer in peers)
            share = f"{own / peak:8.1%}" if peak else f"{'-':>8}"
            line += f"{own:8.0f} {own / top:6.2f} {gops(('nnc', shape), 1) / fastest:6.2f} {share}"
        print(line)
    if peak:
        print(f"peak {peak:.0f} GOP/s")


def processor():
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return "unknown"
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown")


def save(file, args, results):
    with open(file, "w") as out:
        print(f"# {processor()}, {datetime.date.today()}, load {os.getloadavg()[0]:.1f}, {args.rounds} rounds", file=out)
        print("isa,threads,peer,m,n,k,median_us,min_us,gops,peak_gops", file=out)
        for isa, (times, peak) in results.items():
            for (peer, shape), (median, minimum) in times.items():
                gops = 2e-3 * np.prod(shape, dtype=float) / median
                cells = [isa, args.threads, peer, *shape, f"{median:.3f}", f"{minimum:.3f}", f"{gops:.1f}", f"{peak:.0f}"]
                print(*cells, sep=",", file=out)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1, choices=(1, 2))
    parser.add_argument("--isa", choices=("vnni", "best"), help="both unless named")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.3, help="for each shape, peer and round")
    parser.add_argument("--only", choices=[label(shape) for shape in SHAPES])
    parser.add_argument("--peer-only", action="store_true")
    parser.add_argument("--minima", action="store_true", help="the table shows the shortest times")
    parser.add_argument("--onednn", type=pathlib.Path, action="append", help="where a oneDNN has its include and lib")
    parser.add_argument("--csv", help="file to write all figures to")
    parser.add_argument("--serve", choices=LIBRARIES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        return serve(args.serve, args.threads, args.isa)
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        for isa in [args.isa] if args.isa else ("vnni", "best"):
            print(f"isa {isa}, {args.threads} threads, {args.rounds} rounds of {args.seconds} s, load {os.getloadavg()[0]:.1f}")
            rounds, peak = run(args, isa, pathlib.Path(folder))
            results[isa] = (summarize(rounds), peak)
            report(*results[isa], int(args.minima))
            if args.csv:
                save(args.csv, args, results)


if __name__ == "__main__":
    main()
