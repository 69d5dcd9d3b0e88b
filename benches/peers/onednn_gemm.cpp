// oneDNN's u8 × s8 → u8 matrix product, the peer of `gemm.py`, which compiles and runs it:
//
//     onednn_gemm version              prints the library's version and the best ISA it would use
//     onednn_gemm M N K SECONDS DIR    prints "M N K median_us minimum_us implementation"
//
// DIR holds `lhs` (u8, M×K), `weights` (s8, K×N), `multipliers` (f32, N) and `zero_points` (two i32: of lhs, of result);
// `result` (u8, M×N) is written there. The weights are reordered once into the layout that the library chooses.
// Threads and ISA are the library's own environment variables. Builds with oneDNN 2 (Debian) and 3.

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <unordered_map>
#include <vector>

#include <oneapi/dnnl/dnnl.hpp>

using dnnl::memory;
using type = memory::data_type;
using tag = memory::format_tag;

template <typename T>
static std::vector<T> read(const std::string &path, size_t count) {
    std::vector<T> values(count);
    std::ifstream file(path, std::ios::binary);
    file.read(reinterpret_cast<char *>(values.data()), std::streamsize(count * sizeof(T)));
    if (!file) {
        std::fprintf(stderr, "%s: shorter than %zu values\n", path.c_str(), count);
        std::exit(1);
    }
    return values;
}

// A primitive with its arguments, ready to run any number of times.
struct Product {
    dnnl::stream stream;
    dnnl::matmul matmul;
    std::unordered_map<int, memory> args;
    std::string implementation;

    void run() {
        matmul.execute(stream, args);
        stream.wait();
    }
};

struct Operands {
    memory::dim m, n, k;
    std::vector<uint8_t> lhs, result;
    std::vector<int8_t> weights;
    std::vector<float> multipliers;
    std::vector<int32_t> zero_points;
};

static Operands load(memory::dim m, memory::dim n, memory::dim k, const std::string &dir) {
    return {m, n, k, read<uint8_t>(dir + "/lhs", m * k), std::vector<uint8_t>(m * n), read<int8_t>(dir + "/weights", k * n),
            read<float>(dir + "/multipliers", n), read<int32_t>(dir + "/zero_points", 2)};
}

static dnnl::matmul::primitive_desc describe(const dnnl::engine &engine, const Operands &o) {
    memory::desc lhs({o.m, o.k}, type::u8, tag::ab), result({o.m, o.n}, type::u8, tag::ab);
    memory::desc weights({o.k, o.n}, type::s8, tag::any);
    dnnl::primitive_attr attr;
#if DNNL_VERSION_MAJOR >= 3
    attr.set_scales_mask(DNNL_ARG_WEIGHTS, 1 << 1);
    attr.set_zero_points_mask(DNNL_ARG_SRC, 0);
    attr.set_zero_points_mask(DNNL_ARG_DST, 0);
    return {engine, lhs, weights, result, attr};
#else
    attr.set_output_scales(1 << 1, o.multipliers);
    attr.set_zero_points(DNNL_ARG_SRC, 0, {o.zero_points[0]});
    attr.set_zero_points(DNNL_ARG_DST, 0, {o.zero_points[1]});
    return {dnnl::matmul::desc(lhs, weights, result), attr, engine};
#endif
}

static Product prepare(Operands &o) {
    dnnl::engine engine(dnnl::engine::kind::cpu, 0);
    dnnl::stream stream(engine);
    auto described = describe(engine, o);

    memory lhs(described.src_desc(), engine), result(described.dst_desc(), engine);
    std::memcpy(lhs.map_data<uint8_t>(), o.lhs.data(), o.lhs.size());
    memory plain({{o.k, o.n}, type::s8, tag::ab}, engine), packed(described.weights_desc(), engine);
    std::memcpy(plain.map_data<int8_t>(), o.weights.data(), o.weights.size());
    dnnl::reorder(plain, packed).execute(stream, plain, packed);
    stream.wait();

    std::unordered_map<int, memory> args{{DNNL_ARG_SRC, lhs}, {DNNL_ARG_WEIGHTS, packed}, {DNNL_ARG_DST, result}};
#if DNNL_VERSION_MAJOR >= 3
    memory scales({{o.n}, type::f32, tag::a}, engine);
    std::copy(o.multipliers.begin(), o.multipliers.end(), scales.map_data<float>());
    args.insert({DNNL_ARG_ATTR_SCALES | DNNL_ARG_WEIGHTS, scales});
    const int of[] = {DNNL_ARG_SRC, DNNL_ARG_DST};
    for (int i = 0; i < 2; i++) {
        memory zero_point({{1}, type::s32, tag::a}, engine);
        *zero_point.map_data<int32_t>() = o.zero_points[i];
        args.insert({DNNL_ARG_ATTR_ZERO_POINTS | of[i], zero_point});
    }
#endif
    return {stream, dnnl::matmul(described), args, described.impl_info_str()};
}

// Times of one product in microseconds; short ones are timed several at once, or the clock would count too.
static std::vector<double> measure(Product &product, double seconds) {
    using clock = std::chrono::steady_clock;
    auto elapsed = [](clock::time_point start) { return std::chrono::duration<double>(clock::now() - start).count(); };
    auto start = clock::now();
    int warm = 0;
    do {
        product.run();
        warm++;
    } while (elapsed(start) < seconds / 4);
    const int batch = std::max(1, int(20e-6 * warm / elapsed(start)));

    std::vector<double> times;
    for (auto begin = clock::now(); elapsed(begin) < seconds;) {
        start = clock::now();
        for (int i = 0; i < batch; i++) product.run();
        times.push_back(elapsed(start) * 1e6 / batch);
    }
    std::sort(times.begin(), times.end());
    return times;
}

int main(int argc, char **argv) {
    if (argc == 2 && std::string(argv[1]) == "version") {
        const dnnl_version_t *v = dnnl_version();
        std::printf("%d.%d.%d isa %d\n", v->major, v->minor, v->patch, int(dnnl::get_effective_cpu_isa()));
        return 0;
    }
    if (argc != 6) {
        std::fprintf(stderr, "usage: onednn_gemm version | onednn_gemm M N K SECONDS DIR\n");
        return 2;
    }
    const memory::dim m = std::atoll(argv[1]), n = std::atoll(argv[2]), k = std::atoll(argv[3]);
    const std::string dir = argv[5];
    Operands operands = load(m, n, k, dir);
    Product product = prepare(operands);
    auto times = measure(product, std::atof(argv[4]));
    auto result = product.args.at(DNNL_ARG_DST);
    std::ofstream(dir + "/result", std::ios::binary).write(reinterpret_cast<char *>(result.map_data<uint8_t>()), m * n);
    std::printf("%lld %lld %lld %.4f %.4f %s\n", (long long)m, (long long)n, (long long)k, times[times.size() / 2], times[0],
                product.implementation.c_str());
}
