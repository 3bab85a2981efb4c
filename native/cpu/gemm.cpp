// The driver of matrix products: cuts C, k and the work into pieces, packs operands, hands out tiles.
//
// C is cut into parts and k into ranges so that packed B stays in the last-level cache; all threads pack it together.
// Then tiles of C are handed out. A is multiplied where it lies, if its layout allows; else the thread that multiplies
// a tile packs its rows into a work area of its own, or all share one packed A if it has few rows.
// What an element of C becomes never depends on how the cutting went (see gemm_simd.h).
#include "cpu/gemm.h"

#include <algorithm>

#include "core/error.h"
#include "cpu/gemm_cut.h"

namespace selfrefine {

using namespace gemm;

namespace {

constexpr int64_t kBlockSteps = 512;                    // of one chain of fma: so much of a tile of A fits the L2 cache
constexpr int64_t kRangeSteps = 2048;                   // of k that B is packed for at a time
constexpr int64_t kWorkBytes = int64_t{8} << 20;        // of packed B, and of sums kept between ranges
constexpr int64_t kSerialPackUnits = int64_t{1} << 13;  // below this, waking other threads costs more than it saves
constexpr int64_t kL1SetBytes = 4096;                   // addresses this far apart share a set in common L1 caches
constexpr const char* kWorkArea = "work area of matrix products";

const void* offset(const void* data, int64_t elements, DType dtype) {
  return static_cast<const char*>(data) + elements * size_of(dtype);
}

/// A distance of at least `units`, such that what lies that far apart and is used side by side does not meet in the
/// same sets of the caches, as it would at a power of two.
int64_t spread(int64_t units) { return round_up(units, 16) + 272; }

/// Packing, by steps, of `count` rows of A or columns of B from number `line` on, for `steps` steps from k0 on.
PackJob describe(ConstMatrix x, bool k_contiguous, DType dtype, int64_t line, int64_t count, int64_t k0, int64_t k,
                 int64_t steps, int64_t width, int64_t vector) {
  PackJob job{};
  job.source = offset(x.data, k_contiguous ? line * x.ld + k0 : k0 * x.ld + line, dtype);
  job.ld = x.ld;
  job.k_contiguous = k_contiguous;
  job.dtype = dtype;
  job.layout = PackLayout::steps;
  job.count = count;
  job.k = k - k0;
  job.width = width;
  job.panel_end = divide_up(count, width);
  job.step_end = steps;
  job.stride = round_up(width, vector);
  job.panel_stride = spread(steps * job.stride);
  return job;
}

/// The same for rows of A, which lie by rows unless A is transposed.
PackJob describe_a(const GemmKernels& kernels, const GemmArgs& args, int64_t row, int64_t rows, int64_t k0,
                   int64_t steps) {
  PackJob job =
      describe(args.a, !args.trans_a, args.ab_dtype, row, rows, k0, args.k, steps, kernels.rows, kernels.vector);
  if (!args.trans_a) {
    job.layout = PackLayout::rows;
    job.stride = spread(round_up(steps, kernels.vector));
    job.panel_stride = kernels.rows * job.stride;
  }
  return job;
}

/// Units between rows of A, or between steps if it is transposed, where it can be multiplied as it lies, else 0. It
/// must consist of whole units in that direction, and the lines of a panel must not all meet in one set of the L1
/// cache.
int64_t in_place_stride(const GemmArgs& args, bool pairs) {
  const bool lone = args.m == 1 && !args.trans_a;
  if (!lone && args.a.ld * size_of(args.ab_dtype) % kL1SetBytes == 0) return 0;
  if (args.ab_dtype == DType::f32) return std::max<int64_t>(1, args.a.ld);
  const bool whole = pairs && !args.trans_a && args.k % 2 == 0 && (lone || args.a.ld % 2 == 0);
  return whole ? std::max<int64_t>(1, args.a.ld / 2) : 0;
}

void check_operand(const char* name, ConstMatrix matrix, int64_t rows, int64_t columns) {
  if (rows == 0 || columns == 0) return;
  if (matrix.data == nullptr) fail(ErrorCode::invalid_argument, "gemm: ", name, " has no data");
  if (matrix.ld < columns) {
    fail(ErrorCode::shape, "gemm: ", name, " has rows of ", columns, " but a leading dimension of ", matrix.ld);
  }
}

void check_types(DType ab, DType c) {
  if (ab == DType::f32 && c == DType::f32) return;
  if (ab == DType::bf16 && (c == DType::bf16 || c == DType::f32)) return;
  fail(ErrorCode::unsupported, "gemm: operands ", name_of(ab), " with result ", name_of(c),
       ", expected float32 throughout, or bfloat16 operands with a bfloat16 or float32 result");
}

void check_args(const GemmArgs& args) {
  if (args.m < 0 || args.n < 0 || args.k < 0) {
    fail(ErrorCode::shape, "gemm: negative dimension in m ", args.m, ", n ", args.n, ", k ", args.k);
  }
  check_types(args.ab_dtype, args.c_dtype);
  check_operand("a", args.a, args.trans_a ? args.k : args.m, args.trans_a ? args.m : args.k);
  check_operand("c", {args.c, args.ldc}, args.m, args.n);
  if (args.add.data != nullptr) check_operand("add", args.add, args.m, args.n);
  if (args.packed_b == nullptr) {
    check_operand("b", args.b, args.trans_b ? args.n : args.k, args.trans_b ? args.k : args.n);
  }
  if (args.k2 == 0) return;
  if (args.k2 < 0 || args.trans_a) {
    fail(ErrorCode::shape, "gemm: k2 is ", args.k2, ", expected 0, or more without trans_a");
  }
  check_operand("a2", args.a2, args.m, args.k2);
  check_operand("b2", args.b2, args.trans_b ? args.n : args.k2, args.trans_b ? args.k2 : args.n);
}

/// The second pair of operands as a product of its own.
GemmArgs second_pair(const GemmArgs& args) {
  GemmArgs second = args;
  second.a = args.a2;
  second.b = args.b2;
  second.k = args.k2;
  second.packed_b = nullptr;
  second.k2 = 0;
  return second;
}

}  // namespace

struct Gemm::Plan {
  bool pairs;
  int64_t per_step;       // of k
  int64_t steps;          // of all k
  int64_t block;          // steps of one chain of fma: a function of k and the operands' type ALONE
  int64_t range;          // steps at a time, a multiple of block
  int64_t rows, columns;  // of C at a time
  int64_t a_stride;       // of TileJob, where A is not packed; else 0
};

/// A part of C and a range of k, and where their packed operands and sums are.
struct Gemm::Part {
  Tile c;
  int64_t step, steps;
  bool first, last;       // of all that is added up, the second pair included
  bool whole;             // there is one range of k
  bool sums;              // are kept between blocks of k
  const uint32_t* a;  // null where each tile packs its own
  int64_t a_stride, a_panel_stride;
  const uint32_t* b;
  int64_t b_panel_stride;
  uint32_t* own_a;               // each thread's own packed A, so many units apart
  int64_t own_a_stride;
  int64_t sums_stride, sums_ld;  // floats of each thread's sums; stride 0 where all of C's are kept
};

Gemm::Plan Gemm::make_plan(const GemmArgs& args) const {
  Plan plan;
  plan.pairs = kernels_.pairs && args.ab_dtype == DType::bf16;
  plan.per_step = plan.pairs ? 2 : 1;
  plan.steps = divide_up(args.k, plan.per_step);
  plan.block = even_part(plan.steps, kBlockSteps, kernels_.vector);
  plan.rows = args.m;
  plan.columns = args.n;
  plan.range = plan.steps;
  if (args.packed_b == nullptr) {
    plan.range = std::min(plan.steps, kRangeSteps / plan.block * plan.block);
    plan.columns = even_part(args.n, kWorkBytes / 4 / std::max<int64_t>(1, plan.range), kernels_.columns);
    if (plan.range < plan.steps) plan.rows = even_part(args.m, kWorkBytes / 4 / plan.columns, kernels_.rows);
  }
  plan.a_stride = in_place_stride(args, plan.pairs);
  return plan;
}

void Gemm::operator()(const GemmArgs& args) {
  check_args(args);
  const PackedMatrix* packed = args.packed_b;
  if (packed != nullptr && (packed->n_ != args.n || packed->k_ != args.k || packed->dtype_ != args.ab_dtype ||
                            packed->kernels_ != &kernels_)) {
    fail(ErrorCode::shape, "gemm: packed b is (", packed->k_, ", ", packed->n_, ") ", name_of(packed->dtype_),
         ", expected (", args.k, ", ", args.n, ") ", name_of(args.ab_dtype), " packed for the same instruction set");
  }
  if (args.m == 0 || args.n == 0) return;
  const Plan plan = make_plan(args);
  for (int64_t row = 0; row < args.m; row += plan.rows) {
    for (int64_t column = 0; column < args.n; column += plan.columns) {
      int64_t step = 0;
      do {  // once even if k is 0
        Part part{};
        part.c = {row, column, std::min(plan.rows, args.m - row), std::min(plan.columns, args.n - column)};
        part.step = step;
        part.steps = std::min(plan.range, plan.steps - step);
        part.first = step == 0;
        part.last = step + part.steps == plan.steps;
        part.whole = part.first && part.last;
        multiply_part(args, plan, part);
        step += plan.range;
      } while (step < plan.steps);
    }
  }
}

void Gemm::prepare(const GemmArgs& args, const Plan& plan, Part& part, Areas& areas) {
  prepare_a(args, plan, part, areas.a);
  prepare_b(args, plan, part, areas.b);
}

void Gemm::prepare_a(const GemmArgs& args, const Plan& plan, Part& part, HugeBuffer& area) {
  PackJob job = describe_a(kernels_, args, part.c.row, part.c.rows, part.step * plan.per_step, part.steps);
  part.a_stride = job.stride;
  part.a_panel_stride = job.panel_stride;
  if (plan.a_stride > 0) {
    part.a = static_cast<const uint32_t*>(job.source);
    part.a_stride = plan.a_stride;
    part.a_panel_stride = args.trans_a ? kernels_.rows : kernels_.rows * plan.a_stride;
  } else if (TileCut::few(part.c.rows)) {
    area.reserve(job.panel_end * job.panel_stride * 4, kWorkArea, pool_.working());
    part.a = job.target = area.as<uint32_t>();
    pack_shared(job);
  }
}

void Gemm::prepare_b(const GemmArgs& args, const Plan& plan, Part& part, HugeBuffer& area) {
  if (args.packed_b != nullptr) {
    part.b_panel_stride = args.packed_b->panel_stride_;
    part.b = args.packed_b->memory_.as<uint32_t>() + part.step * kernels_.columns;
    return;
  }
  PackJob job = describe(args.b, args.trans_b, args.ab_dtype, part.c.column, part.c.columns, part.step * plan.per_step,
                         args.k, part.steps, kernels_.columns, kernels_.vector);
  area.reserve(job.panel_end * job.panel_stride * 4, kWorkArea, pool_.working());
  part.b = job.target = area.as<uint32_t>();
  part.b_panel_stride = job.panel_stride;
  pack_shared(job);
}

void Gemm::pack_shared(const PackJob& job) {
  if (!pool_.working()) return;
  const PackCut cut(job);
  const auto run = [&](int64_t task, int) { kernels_.pack(cut.task(job, task)); };
  if (job.count * (job.step_end - job.step_begin) > kSerialPackUnits) return pool_.parallel_for(cut.tasks(), run);
  for (int64_t task = 0; task < cut.tasks(); ++task) run(task, 0);
}

/// Room for the panels of A that each thread packs for itself, where A is neither packed for all nor used in place.
void Gemm::prepare_own_a(const GemmArgs& args, const Plan& plan, Part& part, int64_t rows, HugeBuffer& area) {
  if (part.a != nullptr) return;
  const PackJob own = describe_a(kernels_, args, 0, rows, 0, plan.block);
  part.own_a_stride = spread(own.panel_end * own.panel_stride);
  area.reserve(part.own_a_stride * pool_.threads() * 4, kWorkArea, pool_.working());
  part.own_a = area.as<uint32_t>();
}

void Gemm::multiply_part(const GemmArgs& args, const Plan& plan, Part& part) {
  const bool pairs = part.last && args.k2 > 0;
  prepare(args, plan, part, first_);
  const TileCut cut(part.c.rows, part.c.columns, part.a == nullptr, kernels_, pool_.threads());
  prepare_own_a(args, plan, part, cut.most_rows(), first_.a);
  // Sums of the blocks of k so far: of a whole part of C if it is visited once per range, else of the tile in work.
  part.sums_ld = round_up(part.whole ? cut.most_columns() : part.c.columns, kernels_.columns);
  part.sums_stride = part.whole ? spread(cut.most_rows() * part.sums_ld) : 0;
  part.sums = plan.steps > plan.block || pairs;
  if (part.sums) {
    const int64_t floats = part.whole ? part.sums_stride * pool_.threads() : part.c.rows * part.sums_ld;
    sums_.reserve(floats * 4, kWorkArea, pool_.working());
  }
  GemmArgs args2;
  Plan plan2{};
  Part part2 = part;
  if (pairs) {
    args2 = second_pair(args);
    plan2 = make_plan(args2);
    part.last = part2.first = false;
    part2.step = 0;
    part2.steps = plan2.steps;
    part2.a = nullptr;
    prepare(args2, plan2, part2, second_);
    prepare_own_a(args2, plan2, part2, cut.most_rows(), second_.a);
  }
  pool_.parallel_for(cut.tiles(), [&](int64_t task, int thread) {
    const Tile tile = cut.tile(task);
    if (tile.rows == 0) return;
    multiply_tile(args, plan, part, tile, thread);
    if (pairs) multiply_tile(args2, plan2, part2, tile, thread);
  });
}

void Gemm::multiply_tile(const GemmArgs& args, const Plan& plan, const Part& part, Tile tile, int thread) {
  const int64_t row = part.c.row + tile.row;
  const int64_t column = part.c.column + tile.column;
  TileJob job{};
  job.pairs = plan.pairs;
  job.a_layout = args.trans_a ? PackLayout::steps : PackLayout::rows;
  job.rows = tile.rows;
  job.columns = tile.columns;
  job.a_stride = part.a_stride;
  job.a_panel_stride = part.a_panel_stride;
  job.b_panel_stride = part.b_panel_stride;
  if (part.sums) {
    const bool own = part.sums_stride > 0;
    job.partial = sums_.as<float>() + (own ? thread * part.sums_stride : tile.row * part.sums_ld + tile.column);
  }
  job.partial_ld = part.sums_ld;
  job.c = const_cast<void*>(offset(args.c, row * args.ldc + column, args.c_dtype));
  job.ldc = args.ldc;
  job.c_dtype = args.c_dtype;
  if (args.bias != nullptr) job.bias = offset(args.bias, column, args.c_dtype);
  if (args.add.data != nullptr) job.add = offset(args.add.data, row * args.add.ld + column, args.c_dtype);
  job.ld_add = args.add.ld;

  const uint32_t* b = part.b + tile.column / kernels_.columns * part.b_panel_stride;
  int64_t step = 0;
  do {
    job.steps = std::min(plan.block, part.steps - step);
    job.first = part.first && step == 0;
    job.last = part.last && step + job.steps == part.steps;
    if (part.a != nullptr) {
      job.a = part.a + tile.row / kernels_.rows * part.a_panel_stride + step * (args.trans_a ? part.a_stride : 1);
    } else {
      PackJob pack = describe_a(kernels_, args, row, tile.rows, (part.step + step) * plan.per_step, job.steps);
      job.a = pack.target = part.own_a + thread * part.own_a_stride;
      job.a_stride = pack.stride;
      job.a_panel_stride = pack.panel_stride;
      kernels_.pack(pack);
    }
    job.b = b + step * kernels_.columns;
    kernels_.multiply(job);
    step += plan.block;
  } while (step < part.steps);
}

void Gemm::pack_b(PackedMatrix& packed, ConstMatrix b, bool trans_b, int64_t n, int64_t k, DType dtype) {
  if (n < 0 || k < 0) fail(ErrorCode::shape, "gemm: packing (", k, ", ", n, ")");
  check_types(dtype, dtype);
  check_operand("b", b, trans_b ? n : k, trans_b ? k : n);
  const int64_t steps = divide_up(k, kernels_.pairs && dtype == DType::bf16 ? 2 : 1);
  PackJob job = describe(b, trans_b, dtype, 0, n, 0, k, steps, kernels_.columns, kernels_.vector);
  packed.memory_.reserve(job.panel_end * job.panel_stride * 4, "packed weights", pool_.working());
  packed.kernels_ = &kernels_;
  packed.dtype_ = dtype;
  packed.n_ = n;
  packed.k_ = k;
  packed.panel_stride_ = job.panel_stride;
  job.target = packed.memory_.as<uint32_t>();
  pack_shared(job);
}

}  // namespace selfrefine
