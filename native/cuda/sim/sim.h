// cudasim.h - runs CUDA C++ kernels on the CPU, for tests. Same kernel source for nvcc and for g++:
//   * __global__/__device__/__shared__/threadIdx/__syncthreads()/__shfl_*_sync()/atomicAdd() as in CUDA
//   * LAUNCH(kernel, grid, block, smem, stream, args...) instead of kernel<<<...>>>(args...)
//   * DYN_SMEM(T, name) instead of `extern __shared__ T name[]`
// One fiber per CUDA thread; one block at a time per OS thread, blocks spread over CUDASIM_THREADS OS threads.
// Reports: barrier divergence, deadlock, bad shuffle masks, with file and line. ASan, UBSan and TSan work;
// under TSan each CUDA thread is its own TSan fiber, so a missing __syncthreads() is reported as a data race.
#pragma once
#define CUDASIM 1
#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <vector>
#include <sys/mman.h>
#if !defined(__x86_64__) || defined(CUDASIM_UCONTEXT)
#include <ucontext.h>
#define CUDASIM_USE_UCONTEXT 1
#endif
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(__SANITIZE_THREAD__)
extern "C" {
void* __tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void*);
void __tsan_switch_to_fiber(void*, unsigned flags);
void* __tsan_get_current_fiber(void);
void __tsan_acquire(void*);
void __tsan_release(void*);
void __tsan_write_range(void*, unsigned long);
}
#define SIM_TSAN(x) x
#else
#define SIM_TSAN(x)
#endif
#define SIM_QUIET __attribute__((no_sanitize("thread"), optimize("no-tree-loop-distribute-patterns")))  // the scheduler's own state is not part of the program under test

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#if defined(__SANITIZE_THREAD__)
#define __shared__ static  // GCC's TSan does not instrument thread_local variables; blocks then run on one OS thread
#else
#define __shared__ static thread_local
#endif
#define __constant__ static
#define __grid_constant__
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))

struct dim3 { unsigned x = 1, y = 1, z = 1; constexpr dim3(unsigned a = 1, unsigned b = 1, unsigned c = 1) : x(a), y(b), z(c) {} };
struct uint3 { unsigned x, y, z; };
struct alignas(8) float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(8) uint2 { unsigned x, y; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
struct alignas(16) int4 { int x, y, z, w; };
inline float2 make_float2(float a, float b) { return {a, b}; }
inline float4 make_float4(float a, float b, float c, float d) { return {a, b, c, d}; }
inline uint4 make_uint4(unsigned a, unsigned b, unsigned c, unsigned d) { return {a, b, c, d}; }

// ------------------------------------------------------------------ bf16
struct __nv_bfloat16 {
  uint16_t u;
  __nv_bfloat16() = default;
  __nv_bfloat16(float f) {
    uint32_t b = std::bit_cast<uint32_t>(f);
    u = (b & 0x7fffffffu) > 0x7f800000u ? 0x7fff : uint16_t((b + 0x7fffu + ((b >> 16) & 1)) >> 16);
  }
  operator float() const { return std::bit_cast<float>(uint32_t(u) << 16); }
};
struct alignas(4) __nv_bfloat162 { __nv_bfloat16 x, y; };
inline __nv_bfloat16 __float2bfloat16(float f) { return f; }
inline __nv_bfloat16 __float2bfloat16_rn(float f) { return f; }
inline float __bfloat162float(__nv_bfloat16 b) { return b; }
inline __nv_bfloat162 __floats2bfloat162_rn(float a, float b) { return {a, b}; }
inline float2 __bfloat1622float2(__nv_bfloat162 v) { return {v.x, v.y}; }
inline float __low2float(__nv_bfloat162 v) { return v.x; }
inline float __high2float(__nv_bfloat162 v) { return v.y; }

// ------------------------------------------------------------------ fibers and the block scheduler
namespace cudasim {
struct Error : std::runtime_error { using std::runtime_error::runtime_error; };
enum State : uint8_t { READY, AT_BLOCK, AT_WARP, DONE };
struct Copy { void* dst; const void* src; uint32_t bytes, valid, group; };  // a pending cp.async

struct Fiber {
#ifdef CUDASIM_USE_UCONTEXT
  ucontext_t ctx;
#else
  void* sp;
#endif
  char* stack;
  unsigned lin;
  uint3 tid;
  State state;
  const char* file;
  int line, site;
  uint32_t cp_group, ncopies;
  Copy copies[64];
  void *tsan, *fake;
};
struct Coll { uint32_t mask, arrived, gen; int site; alignas(16) unsigned char data[2][32][64]; };
struct Warp { uint32_t live; Coll coll[8]; };

struct Ctx {  // one per OS thread
  Fiber *cur, *fibers;
  unsigned nthreads, cap, live, at_block, order_seed;
  size_t stack_size;
  uint3 bidx;
  dim3 bdim, gdim;
  unsigned char* smem;
  size_t smem_bytes, smem_cap;
  Warp* warps;
  unsigned* queue;
  unsigned qh, qt;  // ready ring, capacity cap
  void (*entry)(void*);
  void* closure;
  char err[512];
  bool failed;
#ifdef CUDASIM_USE_UCONTEXT
  ucontext_t main_ctx;
#else
  void* main_sp;
#endif
  void *tsan_main, *fake_main;
  const void* main_bottom;
  size_t main_size;
  char begin, end, phase[2];  // TSan's sync points: block start, block end, __syncthreads (by turns)
  unsigned nbar;
};
inline thread_local Ctx g;
inline thread_local uint3 threadIdx_, blockIdx_;
inline thread_local dim3 blockDim_, gridDim_;

#ifndef CUDASIM_USE_UCONTEXT
__attribute__((naked, noinline, unused)) static void jump(void** /*save*/, void* /*to*/) {
  asm("pushq %rbp\n pushq %rbx\n pushq %r12\n pushq %r13\n pushq %r14\n pushq %r15\n"
      "movq %rsp,(%rdi)\n movq %rsi,%rsp\n"
      "popq %r15\n popq %r14\n popq %r13\n popq %r12\n popq %rbx\n popq %rbp\n ret\n");
}
#endif
SIM_QUIET inline void to_fiber(Fiber* f) {
  g.cur = f;
  threadIdx_ = f->tid;
  SIM_TSAN(__tsan_switch_to_fiber(f->tsan, 1));
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_start_switch_fiber(&g.fake_main, f->stack, g.stack_size);
#endif
#ifdef CUDASIM_USE_UCONTEXT
  swapcontext(&g.main_ctx, &f->ctx);
#else
  jump(&g.main_sp, f->sp);
#endif
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_finish_switch_fiber(g.fake_main, nullptr, nullptr);
#endif
}
SIM_QUIET inline void to_main(bool last = false) {
  Fiber* f = g.cur;
  (void)last;
  SIM_TSAN(__tsan_switch_to_fiber(g.tsan_main, 1));
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_start_switch_fiber(last ? nullptr : &f->fake, g.main_bottom, g.main_size);
#endif
#ifdef CUDASIM_USE_UCONTEXT
  swapcontext(&f->ctx, &g.main_ctx);
#else
  jump(&f->sp, g.main_sp);
#endif
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_finish_switch_fiber(f->fake, nullptr, nullptr);
#endif
}
SIM_QUIET inline void fail(const char* what, const char* file, int line) {
  if (!g.failed)
    std::snprintf(g.err, sizeof g.err, "%s:%d: %s (block %u,%u,%u thread %u,%u,%u)", file, line, what, g.bidx.x, g.bidx.y, g.bidx.z, g.cur->tid.x, g.cur->tid.y, g.cur->tid.z);
  g.failed = true;
  g.cur->state = DONE;
  to_main(true);
  std::abort();
}
SIM_QUIET inline void enqueue(unsigned i) { g.queue[g.qt] = i; g.qt = g.qt + 1 == g.cap + 1 ? 0 : g.qt + 1; }
SIM_QUIET inline void fiber_main() {
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_finish_switch_fiber(nullptr, &g.main_bottom, &g.main_size);
#endif
  SIM_TSAN(__tsan_acquire(&g.begin));
  try {
    g.entry(g.closure);
  } catch (const std::exception& e) {
    if (!g.failed) std::snprintf(g.err, sizeof g.err, "exception in kernel: %s", e.what());
    g.failed = true;
  }
  SIM_TSAN(__tsan_release(&g.end));
  g.cur->state = DONE;
  to_main(true);
  std::abort();
}
SIM_QUIET inline void release_block_barrier() {
  g.at_block = 0; ++g.nbar;
  for (unsigned i = 0; i < g.nthreads; ++i)
    if (g.fibers[i].state == AT_BLOCK) { g.fibers[i].state = READY; enqueue(i); }
}
SIM_QUIET inline void ensure(unsigned n, size_t smem) {
  if (!g.stack_size) {
    const char* s = std::getenv("CUDASIM_STACK");
    g.stack_size = s ? std::strtoul(s, nullptr, 10) : 256 * 1024;
    const char* o = std::getenv("CUDASIM_ORDER");
    g.order_seed = o ? unsigned(std::strtoul(o, nullptr, 10)) : 0;
  }
  if (n > g.cap) {
    g.fibers = static_cast<Fiber*>(std::realloc(static_cast<void*>(g.fibers), n * sizeof(Fiber)));
    for (unsigned i = g.cap; i < n; ++i) {
      g.fibers[i].stack = static_cast<char*>(mmap(nullptr, g.stack_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
      SIM_TSAN(g.fibers[i].tsan = __tsan_create_fiber(0));
    }
    g.warps = static_cast<Warp*>(std::realloc(static_cast<void*>(g.warps), (n + 31) / 32 * sizeof(Warp)));
    g.queue = static_cast<unsigned*>(std::realloc(g.queue, (n + 1) * sizeof(unsigned)));
    g.cap = n;
  }
  if (smem + 256 > g.smem_cap) { std::free(g.smem); g.smem = static_cast<unsigned char*>(std::aligned_alloc(1024, g.smem_cap = (smem + 256 + 1023) / 1024 * 1024)); }
  g.smem_bytes = smem;
#ifdef __SANITIZE_ADDRESS__
  ASAN_UNPOISON_MEMORY_REGION(g.smem, g.smem_cap);
  ASAN_POISON_MEMORY_REGION(g.smem + smem, g.smem_cap - smem);  // past the launch's dynamic shared memory
#endif
}
SIM_QUIET inline void run_block(uint3 b) {
  g.bidx = blockIdx_ = b;
  unsigned n = g.nthreads;
  if (g.smem_bytes) std::memset(g.smem, 0xff, g.smem_bytes);  // NaNs: dynamic shared memory is not initialised
  SIM_TSAN(__tsan_release(&g.begin));
  std::memset(static_cast<void*>(g.warps), 0, (n + 31) / 32 * sizeof(Warp));
  g.live = n; g.at_block = g.qh = g.qt = 0;
  for (unsigned i = 0; i < n; ++i) {
    Fiber& f = g.fibers[i];
    f.lin = i; f.state = READY; f.cp_group = f.ncopies = 0; f.fake = nullptr;
    f.tid = {i % g.bdim.x, i / g.bdim.x % g.bdim.y, i / (g.bdim.x * g.bdim.y)};
    g.warps[i / 32].live |= 1u << (i % 32);
#ifdef __SANITIZE_ADDRESS__
    ASAN_UNPOISON_MEMORY_REGION(f.stack, g.stack_size);  // frames of the fiber that used it before never returned
#endif
#ifdef CUDASIM_USE_UCONTEXT
    getcontext(&f.ctx);
    f.ctx.uc_stack.ss_sp = f.stack; f.ctx.uc_stack.ss_size = g.stack_size; f.ctx.uc_link = nullptr;
    makecontext(&f.ctx, reinterpret_cast<void (*)()>(&fiber_main), 0);
#else
    void** sp = reinterpret_cast<void**>(f.stack + g.stack_size);
    *--sp = nullptr;
    *--sp = reinterpret_cast<void*>(&fiber_main);
    sp -= 6; std::memset(sp, 0, 6 * sizeof(void*));
    f.sp = sp;
#endif
  }
  // first order: as they are, reversed (1) or pseudo-random (any other seed)
  if (g.order_seed == 0) for (unsigned i = 0; i < n; ++i) enqueue(i);
  else if (g.order_seed == 1) for (unsigned i = n; i-- > 0;) enqueue(i);
  else {
    unsigned s = g.order_seed * 2654435761u + b.x; std::vector<unsigned> p(n);
    for (unsigned i = 0; i < n; ++i) p[i] = i;
    for (unsigned i = n; i > 1; --i) { s = s * 1664525u + 1013904223u; std::swap(p[i - 1], p[(s >> 8) % i]); }
    for (unsigned i : p) enqueue(i);
  }
  while (g.live && !g.failed) {
    if (g.qh == g.qt) {
      const Fiber* w = nullptr;
      for (unsigned i = 0; i < n && !w; ++i) if (g.fibers[i].state != DONE) w = &g.fibers[i];
      std::snprintf(g.err, sizeof g.err, "%s:%d: deadlock: %u of %u live threads wait at __syncthreads, thread %u waits here at %s (block %u)", w->file, w->line, g.at_block, g.live, w->lin, w->state == AT_WARP ? "a warp collective" : "__syncthreads", b.x);
      g.failed = true;
      break;
    }
    unsigned i = g.queue[g.qh]; g.qh = g.qh + 1 == g.cap + 1 ? 0 : g.qh + 1;
    to_fiber(&g.fibers[i]);
    if (g.fibers[i].state == DONE) {
      --g.live;
      g.warps[i / 32].live &= ~(1u << (i % 32));
      if (g.live && g.at_block == g.live) release_block_barrier();
    }
  }
  SIM_TSAN(__tsan_acquire(&g.end));
}
inline void worker(std::atomic<unsigned>& next, dim3 grid, dim3 block, size_t smem, void (*entry)(void*), void* closure, std::string& err, std::atomic<bool>& stop) {
  unsigned n = block.x * block.y * block.z, total = grid.x * grid.y * grid.z;
  ensure(n, smem);
  g.entry = entry; g.closure = closure; g.nthreads = n; g.bdim = blockDim_ = block; g.gdim = gridDim_ = grid; g.failed = false;
  SIM_TSAN(g.tsan_main = __tsan_get_current_fiber());
  for (unsigned i; !stop && (i = next++) < total;) {
    run_block({i % grid.x, i / grid.x % grid.y, i / (grid.x * grid.y)});
    if (g.failed) { err = g.err; stop = true; }
  }
}
inline unsigned os_threads() { SIM_TSAN(return 1;) const char* s = std::getenv("CUDASIM_THREADS"); return s ? unsigned(std::atoi(s)) : 1; }

template <class... P, class... A>
void launch(void (*k)(P...), dim3 grid, dim3 block, size_t smem, const void* /*stream*/, A&&... a) {
  if (block.x * block.y * block.z > 1024 || !block.x || !grid.x) throw Error("cudasim: bad launch configuration");
  if (smem > 227 * 1024) throw Error("cudasim: too much dynamic shared memory");
  auto c = std::make_pair(k, std::tuple<std::remove_const_t<P>...>(std::forward<A>(a)...));
  auto entry = +[](void* p) { auto& cc = *static_cast<decltype(c)*>(p); std::apply(cc.first, cc.second); };
  std::atomic<unsigned> next{0};
  std::atomic<bool> stop{false};
  unsigned nt = std::min<unsigned>(os_threads(), grid.x * grid.y * grid.z);
  std::vector<std::string> err(nt);
  std::vector<std::thread> ts;
  for (unsigned t = 1; t < nt; ++t) ts.emplace_back([&, t] { worker(next, grid, block, smem, entry, &c, err[t], stop); });
  worker(next, grid, block, smem, entry, &c, err[0], stop);
  for (auto& t : ts) t.join();
  for (auto& e : err) if (!e.empty()) throw Error(e);
}

// ------------------------------------------------------------------ barriers and warp collectives
SIM_QUIET inline void sync_block(const char* file, int line, int site) {
  Fiber* f = g.cur;
  if (g.at_block) {
    for (unsigned i = 0; i < g.nthreads; ++i) {
      Fiber& o = g.fibers[i];
      if (o.state == AT_BLOCK && o.site != site) fail("divergent __syncthreads: another thread waits at a different one", file, line);
      if (o.state == AT_BLOCK) break;
    }
  }
  f->file = file; f->line = line; f->site = site;
  char* ph = &g.phase[g.nbar & 1];
  SIM_TSAN(__tsan_release(ph));
  if (++g.at_block == g.live) { release_block_barrier(); }
  else { f->state = AT_BLOCK; to_main(); }
  SIM_TSAN(__tsan_acquire(ph));
  (void)ph;
}
// Arrives at the collective of the lanes in `mask`; returns the buffer all lanes have written their `bytes` to.
SIM_QUIET inline unsigned char (*collective(uint32_t mask, const void* v, size_t bytes, const char* file, int line, int site))[64] {
  Fiber* f = g.cur;
  unsigned lane = f->lin % 32;
  Warp& w = g.warps[f->lin / 32];
  if (!(mask >> lane & 1)) fail("warp collective called by a lane that is not in its mask", file, line);
  if (mask & ~w.live) fail("warp collective whose mask names lanes that have exited or do not exist", file, line);
  Coll* c = nullptr;
  for (Coll& k : w.coll) if (k.mask == mask) { c = &k; break; }
  if (!c) for (Coll& k : w.coll) if (!k.arrived) { c = &k; c->mask = mask; break; }
  if (!c) fail("too many different masks in flight", file, line);
  if (c->arrived && c->site != site) fail("divergent warp collective: another lane waits at a different one", file, line);
  c->site = site;
  auto* buf = c->data[c->gen & 1];
  const unsigned char* src = static_cast<const unsigned char*>(v);
  for (size_t i = 0; i < bytes; ++i) buf[lane][i] = src[i];
  SIM_TSAN(__tsan_release(buf));
  c->arrived |= 1u << lane;
  if (c->arrived == mask) {
    c->arrived = 0; ++c->gen;
    for (unsigned l = 0; l < 32; ++l) {
      if (l == lane || !(mask >> l & 1)) continue;
      unsigned i = f->lin / 32 * 32 + l;
      g.fibers[i].state = READY; enqueue(i);
    }
  } else {
    f->file = file; f->line = line; f->state = AT_WARP;
    to_main();
  }
  SIM_TSAN(__tsan_acquire(buf));
  return buf;
}
template <class T>
SIM_QUIET T shfl(uint32_t mask, T v, unsigned src, const char* file, int line, int site) {
  static_assert(sizeof(T) <= 8);
  auto* buf = collective(mask, &v, sizeof(T), file, line, site);
  if (!(mask >> src & 1)) fail("shuffle reads a lane that is not in the mask", file, line);
  T r; unsigned char* d = reinterpret_cast<unsigned char*>(&r);
  for (size_t i = 0; i < sizeof(T); ++i) d[i] = buf[src][i];
  return r;
}
inline unsigned lane() { return g.cur->lin % 32; }
inline unsigned idx_xor(unsigned m, unsigned w) { unsigned s = lane() ^ m; return s / w <= lane() / w ? s : lane(); }
inline unsigned idx_down(unsigned d, unsigned w) { unsigned s = lane() + d; return s / w == lane() / w ? s : lane(); }
inline unsigned idx_up(unsigned d, unsigned w) { return lane() % w >= d ? lane() - d : lane(); }
inline unsigned idx_abs(unsigned i, unsigned w) { return lane() / w * w + i % w; }
SIM_QUIET inline unsigned ballot(uint32_t mask, bool p, const char* file, int line, int site) {
  unsigned char b = p; auto* buf = collective(mask, &b, 1, file, line, site); unsigned r = 0;
  for (unsigned l = 0; l < 32; ++l) if (mask >> l & 1) r |= unsigned(buf[l][0]) << l;
  return r;
}
// cp.async: the destination is garbage from the issue on, and the bytes land only at the wait: the earliest and the
// latest the hardware may write. Not SIM_QUIET: TSan sees both writes.
SIM_QUIET inline void cp_async(void* dst, const void* src, unsigned bytes, unsigned valid) {
  Fiber* f = g.cur;
  if (f->ncopies == 64) fail("more than 64 cp.async in flight in one thread", __FILE__, __LINE__);
  if (reinterpret_cast<uintptr_t>(dst) % bytes || (valid && reinterpret_cast<uintptr_t>(src) % bytes)) fail("misaligned cp.async", __FILE__, __LINE__);
  std::memset(dst, 0xff, bytes);
  SIM_TSAN(__tsan_write_range(dst, bytes));
  f->copies[f->ncopies++] = {dst, src, bytes, valid, f->cp_group};
}
SIM_QUIET inline void cp_async_wait(unsigned pending) {
  Fiber* f = g.cur; unsigned keep = 0;
  for (unsigned i = 0; i < f->ncopies; ++i) {
    Copy& c = f->copies[i];
    if (c.group + pending < f->cp_group) {
      std::memcpy(c.dst, c.src, c.valid);
      std::memset(static_cast<char*>(c.dst) + c.valid, 0, c.bytes - c.valid);
      SIM_TSAN(__tsan_write_range(c.dst, c.bytes));
    }
    else f->copies[keep++] = c;
  }
  f->ncopies = keep;
}
}  // namespace cudasim

#define SIM_HERE __FILE__, __LINE__, __COUNTER__
#define threadIdx (cudasim::threadIdx_)
#define blockIdx (cudasim::blockIdx_)
#define blockDim (cudasim::blockDim_)
#define gridDim (cudasim::gridDim_)
#define LAUNCH(kernel, grid, block, smem, stream, ...) cudasim::launch(kernel, grid, block, smem, stream, __VA_ARGS__)
#define DYN_SMEM(T, name) T* name = reinterpret_cast<T*>(cudasim::g.smem)
#define __syncthreads() cudasim::sync_block(SIM_HERE)
#define SIM_W_(w, ...) (w)
#define SIM_SHFL_(fn, m, v, i, ...) cudasim::shfl(m, v, cudasim::fn(i, SIM_W_(__VA_ARGS__ __VA_OPT__(, ) 32)), SIM_HERE)
#define __shfl_xor_sync(m, v, i, ...) SIM_SHFL_(idx_xor, m, v, i, __VA_ARGS__)
#define __shfl_down_sync(m, v, i, ...) SIM_SHFL_(idx_down, m, v, i, __VA_ARGS__)
#define __shfl_up_sync(m, v, i, ...) SIM_SHFL_(idx_up, m, v, i, __VA_ARGS__)
#define __shfl_sync(m, v, i, ...) SIM_SHFL_(idx_abs, m, v, i, __VA_ARGS__)
#define __ballot_sync(m, p) cudasim::ballot(m, p, SIM_HERE)
#define __any_sync(m, p) (cudasim::ballot(m, p, SIM_HERE) != 0)
#define __all_sync(m, p) (cudasim::ballot(m, p, SIM_HERE) == (m))
#define __syncwarp(...) ((void)cudasim::ballot(SIM_W_(__VA_ARGS__ __VA_OPT__(, ) 0xffffffffu), 0, SIM_HERE))
inline void __threadfence() { std::atomic_thread_fence(std::memory_order_seq_cst); }
inline void __threadfence_block() {}

template <class T, class U>
T atomicAdd(T* p, U v) {
  if constexpr (std::is_integral_v<T>) return std::atomic_ref<T>(*p).fetch_add(T(v), std::memory_order_relaxed);
  else { std::atomic_ref<T> a(*p); T o = a.load(std::memory_order_relaxed); while (!a.compare_exchange_weak(o, o + T(v), std::memory_order_relaxed)) {} return o; }
}
template <class T> T atomicMax(T* p, T v) { std::atomic_ref<T> a(*p); T o = a.load(); while (o < v && !a.compare_exchange_weak(o, v)) {} return o; }
template <class T> T atomicCAS(T* p, T cmp, T v) { std::atomic_ref<T> a(*p); a.compare_exchange_strong(cmp, v); return cmp; }
template <class T> T __ldg(const T* p) { return *p; }
inline float rsqrtf(float x) { return 1.f / std::sqrt(x); }
inline float __expf(float x) { return std::exp(x); }
inline float __logf(float x) { return std::log(x); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __saturatef(float x) { return x < 0 ? 0 : x > 1 ? 1 : x; }
inline unsigned __float_as_uint(float f) { return std::bit_cast<unsigned>(f); }
inline float __uint_as_float(unsigned u) { return std::bit_cast<float>(u); }
inline int __popc(unsigned x) { return std::popcount(x); }
inline int __clz(int x) { return std::countl_zero(unsigned(x)); }
using std::max;
using std::min;

// ------------------------------------------------------------------ the part of the host API that launchers use
using cudaStream_t = void*;
using cudaError_t = int;
constexpr cudaError_t cudaSuccess = 0;
inline cudaError_t cudaGetLastError() { return cudaSuccess; }
inline cudaError_t cudaStreamSynchronize(cudaStream_t) { return cudaSuccess; }
inline cudaError_t cudaDeviceSynchronize() { return cudaSuccess; }
inline cudaError_t cudaMemsetAsync(void* p, int v, size_t n, cudaStream_t) { std::memset(p, v, n); return cudaSuccess; }
enum { cudaMemcpyHostToHost, cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost, cudaMemcpyDeviceToDevice, cudaMemcpyDefault };
enum { cudaErrorMemoryAllocation = 2, cudaErrorNoDevice = 100, cudaHostAllocPortable = 1 };
struct cudaDeviceProp { char name[256] = "cudasim"; int major = 9, minor = 0, multiProcessorCount = 2; size_t sharedMemPerBlockOptin = 227 * 1024; };
template <class T> cudaError_t cudaMalloc(T** p, size_t n) { *p = static_cast<T*>(std::aligned_alloc(256, (n + 255) / 256 * 256)); if (!*p) return cudaErrorMemoryAllocation; std::memset(static_cast<void*>(*p), 0xff, n); return cudaSuccess; }
inline cudaError_t cudaFree(void* p) { std::free(p); return cudaSuccess; }
inline cudaError_t cudaHostAlloc(void** p, size_t n, unsigned) { return cudaMalloc(p, n); }
inline cudaError_t cudaFreeHost(void* p) { std::free(p); return cudaSuccess; }
inline cudaError_t cudaMemcpy(void* d, const void* s, size_t n, int) { std::memcpy(d, s, n); return cudaSuccess; }
inline cudaError_t cudaMemcpyAsync(void* d, const void* s, size_t n, int, cudaStream_t = nullptr) { std::memcpy(d, s, n); return cudaSuccess; }
inline cudaError_t cudaSetDevice(int) { return cudaSuccess; }
enum { cudaStreamNonBlocking = 1 };
inline cudaError_t cudaStreamCreateWithFlags(cudaStream_t* s, unsigned) { *s = nullptr; return cudaSuccess; }
inline cudaError_t cudaStreamDestroy(cudaStream_t) { return cudaSuccess; }
inline cudaError_t cudaMemGetInfo(size_t* free, size_t* total) { *free = *total = size_t{1} << 34; return cudaSuccess; }
inline cudaError_t cudaGetDeviceCount(int* n) { *n = 1; return cudaSuccess; }
inline cudaError_t cudaGetDeviceProperties(cudaDeviceProp* p, int) { *p = {}; return cudaSuccess; }
inline const char* cudaGetErrorName(cudaError_t) { return "cudaError"; }
inline const char* cudaGetErrorString(cudaError_t) { return "cudasim error"; }
enum { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };
template <class F> cudaError_t cudaFuncSetAttribute(F, int, int) { return cudaSuccess; }
using cudaEvent_t = void*;
enum { cudaEventDisableTiming = 2 };
inline cudaError_t cudaEventCreateWithFlags(cudaEvent_t* e, unsigned) { *e = nullptr; return cudaSuccess; }
inline cudaError_t cudaEventRecord(cudaEvent_t, cudaStream_t) { return cudaSuccess; }
inline cudaError_t cudaEventSynchronize(cudaEvent_t) { return cudaSuccess; }
inline cudaError_t cudaEventDestroy(cudaEvent_t) { return cudaSuccess; }
template <class T> T __ldcs(const T* p) { return *p; }
template <class T> void __stcs(T* p, T v) { *p = v; }
