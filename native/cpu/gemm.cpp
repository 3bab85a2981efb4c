// The driver of matrix products: cuts C, k and the work into pieces, packs operands, hands out tiles.
//
// C is cut into blocks of (block_rows, block_columns) and k into ranges so that both packed operands of a range stay in the
// last-level cache. Per range two parallel phases: pack both operands, each element once for all threads; multiply tiles,
// handed out one by one. What a tile computes never depends on how the cutting went (see gemm_simd.h).
#include "cpu/gemm.h"

#include <algorithm>

#include "core/error.h"

namespace selfrefine {
namespace {

constexpr int64_t kBlockSteps = 512;             // an A panel of a block fits the L1 cache, a tile of B the L2 cache
constexpr int64_t kRangeSteps = 2048;            // of k that are packed at a time
constexpr int64_t kOperandUnits = int64_t{2} << 20;  // 8 MiB each for packed A and B
constexpr int64_t kTileRows = 48;
constexpr int64_t kTileColumns = 128;
constexpr int64_t kSmallRows = 96;               // up to here a tile takes all rows, and only columns are shared out
constexpr int64_t kTilesPerThread = 16;
constexpr int64_t kPackUnits = int64_t{1} << 15;  // of one packing task
constexpr int64_t kPackLines = 64;
constexpr int64_t kSerialPackUnits = int64_t{1} << 13;  // below this, waking other threads costs more than it saves

int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
int64_t round_up(int64_t a, int64_t b) { return divide_up(a, b) * b; }

const void* offset(const void* data, int64_t elements, DType dtype) {
  return static_cast<const char*>(data) + elements * size_of(dtype);
}

/// n cut into the fewest parts of at most `most`, all about equal, a multiple of `unit` each.
int64_t even_part(int64_t n, int64_t most, int64_t unit) {
  const int64_t limit = std::max(unit, most / unit * unit);
  return std::max(unit, round_up(divide_up(n, std::max<int64_t>(1, divide_up(n, limit))), unit));
}

int64_t panels_of(const PackJob& job) { return divide_up(job.count, job.width); }

/// How a packing job is cut into tasks: in groups of panels and, where lines are copied, of steps.
struct PackCut {
  int64_t panels, steps, panel_groups, step_groups;

  explicit PackCut(const PackJob& job) {
    const int64_t all_steps = job.step_end - job.step_begin;
    steps = job.k_contiguous ? std::max<int64_t>(1, all_steps) : kPackLines;
    panels = std::max<int64_t>(1, kPackUnits / (steps * job.width));
    panel_groups = divide_up(panels_of(job), panels);
    step_groups = divide_up(all_steps, steps);
  }

  int64_t tasks() const { return panel_groups * step_groups; }

  PackJob task(PackJob job, int64_t index) const {
    job.panel_begin = index / step_groups * panels;
    job.panel_end = std::min(panels_of(job), job.panel_begin + panels);
    const int64_t end = job.step_end;
    job.step_begin += index % step_groups * steps;
    job.step_end = std::min(end, job.step_begin + steps);
    return job;
  }
};

void check_operand(const char* name, ConstMatrix matrix, int64_t rows, int64_t columns) {
  if (rows == 0 || columns == 0) return;
  if (matrix.data == nullptr) fail(ErrorCode::invalid_argument, "gemm: ", name, " has no data");
  if (matrix.ld < columns) {
    fail(ErrorCode::shape, "gemm: ", name, " has rows of ", columns, " but a leading dimension of ", matrix.ld);
  }
}

void check_types(DType ab, DType c) {
  const bool known = (ab == DType::f32 && c == DType::f32) || (ab == DType::bf16 && (c == DType::bf16 || c == DType::f32));
  if (known) return;
  fail(ErrorCode::unsupported, "gemm: operands ", name_of(ab), " with result ", name_of(c),
       ", expected float32 throughout, or bfloat16 operands with a bfloat16 or float32 result");
}

}  // namespace

struct Gemm::Plan {
  bool pairs;
  int64_t per_step;  // of k
  int64_t steps;     // of all k
  int64_t block;     // steps of one chain of fma: a function of k and the operands' type ALONE
  int64_t range;     // steps packed at a time
  int64_t block_rows, block_columns;
  bool a_in_place;   // a single row that already lies as a panel would

  bool one_range() const { return range >= steps; }
};

Gemm::Plan Gemm::make_plan(const GemmArgs& args) const {
  Plan plan;
  plan.pairs = kernels_.pairs && args.ab_dtype == DType::bf16;
  plan.per_step = plan.pairs ? 2 : 1;
  plan.steps = divide_up(args.k, plan.per_step);
  plan.block = std::max<int64_t>(1, divide_up(plan.steps, std::max<int64_t>(1, divide_up(plan.steps, kBlockSteps))));
  const bool a_is_small = args.packed_b != nullptr && args.m * plan.steps <= kOperandUnits;
  plan.range = a_is_small ? std::max(plan.block, plan.steps) : plan.block * std::max<int64_t>(1, kRangeSteps / plan.block);
  const int64_t packed_steps = std::max<int64_t>(1, std::min(plan.range, plan.steps));
  const int64_t lines = kOperandUnits / packed_steps;
  plan.block_rows = even_part(args.m, lines, kernels_.rows);
  const bool no_limit = args.packed_b != nullptr && plan.one_range();
  plan.block_columns = even_part(args.n, no_limit ? std::max<int64_t>(1, args.n + kernels_.columns) : lines, kernels_.columns);
  const bool is_panel = args.ab_dtype == DType::f32 || (plan.pairs && args.k % 2 == 0);
  plan.a_in_place = args.m == 1 && !args.trans_a && is_panel;
  return plan;
}

void Gemm::operator()(const GemmArgs& args) {
  if (args.m < 0 || args.n < 0 || args.k < 0) {
    fail(ErrorCode::shape, "gemm: negative dimension in m ", args.m, ", n ", args.n, ", k ", args.k);
  }
  check_types(args.ab_dtype, args.c_dtype);
  check_operand("a", args.a, args.trans_a ? args.k : args.m, args.trans_a ? args.m : args.k);
  check_operand("c", {args.c, args.ldc}, args.m, args.n);
  if (args.add.data != nullptr) check_operand("add", args.add, args.m, args.n);
  if (args.packed_b == nullptr) {
    check_operand("b", args.b, args.trans_b ? args.n : args.k, args.trans_b ? args.k : args.n);
  } else if (args.packed_b->n_ != args.n || args.packed_b->k_ != args.k || args.packed_b->dtype_ != args.ab_dtype ||
             args.packed_b->kernels_ != &kernels_) {
    fail(ErrorCode::shape, "gemm: packed b is (", args.packed_b->k_, ", ", args.packed_b->n_, ") ",
         name_of(args.packed_b->dtype_), ", expected (", args.k, ", ", args.n, ") ", name_of(args.ab_dtype),
         " packed for the same instruction set");
  }
  const Plan plan = make_plan(args);
  for (int64_t row = 0; row < args.m; row += plan.block_rows) {
    for (int64_t column = 0; column < args.n; column += plan.block_columns) {
      int64_t step = 0;
      do {
        block(args, plan, row, column, step);
        step += plan.range;
      } while (step < plan.steps);
    }
  }
}

void Gemm::block(const GemmArgs& args, const Plan& plan, int64_t row, int64_t column, int64_t step) {
  const int64_t rows = std::min(plan.block_rows, args.m - row);
  const int64_t columns = std::min(plan.block_columns, args.n - column);
  const int64_t steps = std::min(plan.range, plan.steps - step);
  const int64_t k = step * plan.per_step;
  PackJob jobs[2];
  int count = 0;

  TileJob tile{};
  tile.pairs = plan.pairs;
  tile.steps = steps;
  tile.block = plan.block;
  tile.first = step == 0;
  tile.last = step + steps == plan.steps;

  const void* a = offset(args.a.data, args.trans_a ? k * args.a.ld + row : row * args.a.ld + k, args.ab_dtype);
  tile.a_panel_stride = kernels_.rows * steps;
  if (plan.a_in_place) {
    tile.a = static_cast<const uint32_t*>(a);
  } else {
    a_.reserve(round_up(rows, kernels_.rows) * steps * 4, "work area of matrix products");
    tile.a = a_.as<uint32_t>();
    const bool already = plan.one_range() && column > 0;  // packed for the first columns
    if (!already) {
      jobs[count++] = {a, args.a.ld, !args.trans_a, args.ab_dtype, rows, args.k - k, kernels_.rows, false,
                       0, 0, 0, steps, a_.as<uint32_t>(), tile.a_panel_stride};
    }
  }
  if (args.packed_b != nullptr) {
    tile.b_panel_stride = kernels_.columns * plan.steps;
    tile.b = args.packed_b->memory_.as<uint32_t>() + column / kernels_.columns * tile.b_panel_stride +
             step * kernels_.columns;
  } else {
    tile.b_panel_stride = kernels_.columns * steps;
    b_.reserve(round_up(columns, kernels_.columns) * steps * 4, "work area of matrix products");
    tile.b = b_.as<uint32_t>();
    const void* b = offset(args.b.data, args.trans_b ? column * args.b.ld + k : k * args.b.ld + column, args.ab_dtype);
    jobs[count++] = {b, args.b.ld, args.trans_b, args.ab_dtype, columns, args.k - k, kernels_.columns, true,
                     0, 0, 0, steps, b_.as<uint32_t>(), tile.b_panel_stride};
  }
  pack_all(jobs, count);

  tile.c_dtype = args.c_dtype;
  tile.ldc = args.ldc;
  tile.ld_add = args.add.ld;
  tile.c = const_cast<void*>(offset(args.c, row * args.ldc + column, args.c_dtype));
  if (args.bias != nullptr) tile.bias = offset(args.bias, column, args.c_dtype);
  if (args.add.data != nullptr) tile.add = offset(args.add.data, row * args.add.ld + column, args.c_dtype);
  multiply_tiles(args, plan, tile, rows, columns);
}

void Gemm::pack_all(const PackJob* jobs, int count) {
  if (count == 0) return;
  const PackCut first(jobs[0]);
  const PackCut second(jobs[count - 1]);
  const int64_t tasks = first.tasks() + (count > 1 ? second.tasks() : 0);
  const auto run = [&](int64_t task, int) {
    const bool in_first = task < first.tasks();
    kernels_.pack(in_first ? first.task(jobs[0], task) : second.task(jobs[1], task - first.tasks()));
  };
  int64_t units = 0;
  for (int i = 0; i < count; ++i) units += jobs[i].count * (jobs[i].step_end - jobs[i].step_begin);
  if (units > kSerialPackUnits) return pool_.parallel_for(tasks, run);
  for (int64_t task = 0; task < tasks; ++task) run(task, 0);
}

void Gemm::multiply_tiles(const GemmArgs& args, const Plan& plan, TileJob whole, int64_t rows, int64_t columns) {
  const int64_t wanted = kTilesPerThread * pool_.threads();
  int64_t tile_rows = rows <= kSmallRows ? round_up(rows, kernels_.rows) : round_up(kTileRows, kernels_.rows);
  int64_t tile_columns = round_up(rows <= kSmallRows ? 2 * kTileColumns : kTileColumns, kernels_.columns);
  const auto tiles = [&] { return divide_up(rows, tile_rows) * divide_up(columns, tile_columns); };
  while (tiles() < wanted && tile_columns > kernels_.columns) tile_columns = round_up(tile_columns / 2, kernels_.columns);

  // Sums between blocks of k: kept for the whole block of C if k comes in several ranges, else for the thread's own tile.
  const int64_t partial_ld = plan.one_range() ? tile_columns : round_up(columns, kernels_.columns);
  const int64_t partial_size = plan.one_range() ? tile_rows * tile_columns : 0;
  if (plan.steps > plan.block) {
    const int64_t size = plan.one_range() ? pool_.threads() * partial_size : round_up(rows, kernels_.rows) * partial_ld;
    partial_.reserve(size * 4, "work area of matrix products");
  }
  const int64_t across = divide_up(columns, tile_columns);
  pool_.parallel_for(tiles(), [&](int64_t index, int thread) {
    const int64_t row = index / across * tile_rows;
    const int64_t column = index % across * tile_columns;
    TileJob tile = whole;
    tile.rows = std::min(tile_rows, rows - row);
    tile.columns = std::min(tile_columns, columns - column);
    tile.a += row / kernels_.rows * tile.a_panel_stride;
    tile.b += column / kernels_.columns * tile.b_panel_stride;
    tile.partial = partial_.as<float>();
    tile.partial_ld = partial_ld;
    if (plan.steps > plan.block) tile.partial += plan.one_range() ? thread * partial_size : row * partial_ld + column;
    tile.c = const_cast<void*>(offset(whole.c, row * args.ldc + column, args.c_dtype));
    if (whole.bias != nullptr) tile.bias = offset(whole.bias, column, args.c_dtype);
    if (whole.add != nullptr) tile.add = offset(whole.add, row * args.add.ld + column, args.c_dtype);
    kernels_.multiply(tile);
  });
}

void Gemm::pack_b(PackedMatrix& packed, ConstMatrix b, bool trans_b, int64_t n, int64_t k, DType dtype) {
  if (n < 0 || k < 0) fail(ErrorCode::shape, "gemm: packing (", k, ", ", n, ")");
  check_types(dtype, dtype);
  check_operand("b", b, trans_b ? n : k, trans_b ? k : n);
  const bool pairs = kernels_.pairs && dtype == DType::bf16;
  const int64_t steps = divide_up(k, pairs ? 2 : 1);
  packed.memory_.reserve(round_up(n, kernels_.columns) * steps * 4, "packed weights");
  packed.kernels_ = &kernels_;
  packed.dtype_ = dtype;
  packed.n_ = n;
  packed.k_ = k;
  const PackJob job = {b.data, b.ld, trans_b, dtype, n, k, kernels_.columns, true,
                       0, 0, 0, steps, packed.memory_.as<uint32_t>(), kernels_.columns * steps};
  pack_all(&job, 1);
}

}  // namespace selfrefine
