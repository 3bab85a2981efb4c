// wgmma: the matrix product of a warpgroup (four warps), m64nNk16 of bfloat16 with sums in float32. b, and a unless it
// is in registers, lie in shared memory in lines of 128 bytes with the 128-byte swizzle, as TMA puts them.
//
// Sums: warp w of the warpgroup has rows 16 w to 16 w + 15; of these, lane l has d[4 j + e] at row l / 4 + e / 2 * 8,
// column 8 j + l % 4 * 2 + e % 2: j-th block of mma_m16n8k16's layout, and a in registers is laid out as a of that.
// Order: wgmma_fence(), products, wgmma_commit(); sums belong to the tensor cores until a wgmma_wait() for that group.
#pragma once

#if !defined(SELFREFINE_ON_HOPPER) && !defined(__CUDACC__)
#error "include cuda/hopper.cuh"
#endif

namespace selfrefine::cuda {

/// Describes an operand in shared memory. Not transposed: lines are rows of a or columns of b, each 64 elements along
/// k; a step of 16 along k is 32 bytes. Transposed: lines are steps along k, each 64 elements along m or n, and blocks
/// of 64 are `block_bytes` apart; a step of 16 along k is 2048 bytes. The tile begins at an address divisible by 1024.
__device__ __forceinline__ uint64_t wgmma_operand(uint32_t address, int block_bytes = 16) {
  constexpr uint64_t kEightLines = 1024 >> 4, kSwizzle128 = 1;
  return (address & 0x3ffff) >> 4 | static_cast<uint64_t>(block_bytes >> 4) << 16 | kEightLines << 32 |
         kSwizzle128 << 62;
}

#if defined(CUDASIM)

#define SELFREFINE_SITE cudasim::Site site = cudasim::Site::current()

inline uint32_t matrix_address(const void* shared) { return cudasim::shared_offset(shared); }

/// The sums and operands in registers, all given, have been written: before the next product, also the first.
template <typename... Registers>
void wgmma_fence(Registers&...) {
  cudasim::wgmma_fence();
}
/// Ends a group of products.
inline void wgmma_commit(SELFREFINE_SITE) { cudasim::wgmma_commit(site); }
/// Waits until at most kPending newest groups are under way. `sums`: those to be read afterwards.
template <int kPending, typename Sums>
void wgmma_wait(Sums&, SELFREFINE_SITE) {
  cudasim::wgmma_wait(kPending, site);
}
template <int kPending, typename Sums, typename Others>
void wgmma_wait(Sums&, Others&, SELFREFINE_SITE) {
  cudasim::wgmma_wait(kPending, site);
}

/// sums [+]= a b, both in shared memory.
template <int kN, bool kTransposeA, bool kTransposeB>
void wgmma(float (&d)[kN / 2], uint64_t a, uint64_t b, bool accumulate, SELFREFINE_SITE) {
  cudasim::wgmma({kN, false, kTransposeA, kTransposeB, accumulate, a, b}, d, nullptr, site);
}
/// sums [+]= a b, a in registers.
template <int kN, bool kTransposeB>
void wgmma(float (&d)[kN / 2], const uint32_t (&a)[4], uint64_t b, bool accumulate, SELFREFINE_SITE) {
  cudasim::wgmma({kN, true, false, kTransposeB, accumulate, 0, b}, d, a, site);
}

#undef SELFREFINE_SITE

#else

__device__ __forceinline__ uint32_t matrix_address(const void* shared) { return shared_address(shared); }

/// Keeps the compiler from moving accesses to the registers across this place.
template <int kCount>
__device__ __forceinline__ void pin_registers(float (&d)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) SELFREFINE_HOPPER_ASM("" : "+f"(d[i])::"memory");
}
template <int kSteps>
__device__ __forceinline__ void pin_registers(uint32_t (&a)[1][kSteps][4]) {
#pragma unroll
  for (int i = 0; i < 4 * kSteps; ++i) SELFREFINE_HOPPER_ASM("" : "+r"(a[0][i / 4][i % 4])::"memory");
}

template <typename... Registers>
__device__ __forceinline__ void wgmma_fence(Registers&... registers) {
  (pin_registers(registers), ...);
  SELFREFINE_HOPPER_ASM("wgmma.fence.sync.aligned;" ::: "memory");
}

__device__ __forceinline__ void wgmma_commit() {
  SELFREFINE_HOPPER_ASM("wgmma.commit_group.sync.aligned;" ::: "memory");
}

template <int kPending, typename Sums>
__device__ __forceinline__ void wgmma_wait(Sums& sums) {
  SELFREFINE_HOPPER_ASM("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
  pin_registers(sums);
}
template <int kPending, typename Sums, typename Others>
__device__ __forceinline__ void wgmma_wait(Sums& sums, Others& others) {
  wgmma_wait<kPending>(sums);
  pin_registers(others);
}

template <int kN>
struct WgmmaInstruction;

// One width: SUMS are the names and D the operands of its registers; the numbers are those of the operands after them.
#define SELFREFINE_WGMMA(N, SUMS, D, O0, O1, O2, O3, O4, O5, O6)                                                      \
  template <>                                                                                                         \
  struct WgmmaInstruction<N> {                                                                                        \
    template <int kTransposeA, int kTransposeB>                                                                       \
    __device__ static __forceinline__ void run(float (&d)[N / 2], uint64_t a, uint64_t b, int accumulate) {           \
      SELFREFINE_HOPPER_ASM("{\n.reg .pred p;\nsetp.ne.b32 p, " O2 ", 0;\nwgmma.mma_async.sync.aligned.m64n" #N       \
                            "k16.f32.bf16.bf16 {" SUMS "}, " O0 ", " O1 ", p, 1, 1, " O3 ", " O4 ";\n}"               \
                            : D                                                                                       \
                            : "l"(a), "l"(b), "r"(accumulate), "n"(kTransposeA), "n"(kTransposeB));                   \
    }                                                                                                                 \
    template <int kTransposeB>                                                                                        \
    __device__ static __forceinline__ void run(float (&d)[N / 2], const uint32_t (&a)[4], uint64_t b,                 \
                                               int accumulate) {                                                      \
      SELFREFINE_HOPPER_ASM("{\n.reg .pred p;\nsetp.ne.b32 p, " O5 ", 0;\nwgmma.mma_async.sync.aligned.m64n" #N       \
                            "k16.f32.bf16.bf16 {" SUMS "}, {" O0 ", " O1 ", " O2 ", " O3 "}, " O4 ", p, 1, 1, " O6    \
                            ";\n}"                                                                                    \
                            : D                                                                                       \
                            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(accumulate),                    \
                              "n"(kTransposeB));                                                                      \
    }                                                                                                                 \
  }

#define SELFREFINE_D8(i) \
  "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]), "+f"(d[i + 6]), \
      "+f"(d[i + 7])
#define SELFREFINE_D32(i) SELFREFINE_D8(i), SELFREFINE_D8(i + 8), SELFREFINE_D8(i + 16), SELFREFINE_D8(i + 24)
#define SELFREFINE_D16(i) SELFREFINE_D8(i), SELFREFINE_D8(i + 8)
#define SELFREFINE_D64(i) SELFREFINE_D32(i), SELFREFINE_D32(i + 32)
#define SELFREFINE_D128(i) SELFREFINE_D64(i), SELFREFINE_D64(i + 64)
#define SELFREFINE_FIRST_16 "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15"
#define SELFREFINE_SUMS_0                                                                                  \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, " \
  "%24, %25, %26, %27, %28, %29, %30, %31"
#define SELFREFINE_SUMS_32                                                                                     \
  "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, " \
  "%54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define SELFREFINE_SUMS_64                                                                                     \
  "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, %80, %81, %82, %83, %84, %85, " \
  "%86, %87, %88, %89, %90, %91, %92, %93, %94, %95"
#define SELFREFINE_SUMS_96                                                                                          \
  "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, %112, %113, %114, " \
  "%115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127"

SELFREFINE_WGMMA(32, SELFREFINE_FIRST_16, SELFREFINE_D16(0), "%16", "%17", "%18", "%19", "%20", "%21", "%22");
SELFREFINE_WGMMA(64, SELFREFINE_SUMS_0, SELFREFINE_D32(0), "%32", "%33", "%34", "%35", "%36", "%37", "%38");
SELFREFINE_WGMMA(128, SELFREFINE_SUMS_0 ", " SELFREFINE_SUMS_32, SELFREFINE_D64(0), "%64", "%65", "%66", "%67", "%68",
                 "%69", "%70");
SELFREFINE_WGMMA(256, SELFREFINE_SUMS_0 ", " SELFREFINE_SUMS_32 ", " SELFREFINE_SUMS_64 ", " SELFREFINE_SUMS_96,
                 SELFREFINE_D128(0), "%128", "%129", "%130", "%131", "%132", "%133", "%134");

#undef SELFREFINE_WGMMA
#undef SELFREFINE_D8
#undef SELFREFINE_D16
#undef SELFREFINE_FIRST_16
#undef SELFREFINE_D32
#undef SELFREFINE_D64
#undef SELFREFINE_D128
#undef SELFREFINE_SUMS_0
#undef SELFREFINE_SUMS_32
#undef SELFREFINE_SUMS_64
#undef SELFREFINE_SUMS_96

template <int kN, bool kTransposeA, bool kTransposeB>
__device__ __forceinline__ void wgmma(float (&d)[kN / 2], uint64_t a, uint64_t b, bool accumulate) {
  WgmmaInstruction<kN>::template run<kTransposeA, kTransposeB>(d, a, b, accumulate);
}

template <int kN, bool kTransposeB>
__device__ __forceinline__ void wgmma(float (&d)[kN / 2], const uint32_t (&a)[4], uint64_t b, bool accumulate) {
  WgmmaInstruction<kN>::template run<kTransposeB>(d, a, b, accumulate);
}

#endif

}  // namespace selfrefine::cuda
