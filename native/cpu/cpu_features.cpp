// Run-time detection of the instruction set and of the processors this process may use.
#include "cpu/cpu_features.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <string>
#include <thread>

#if defined(__linux__)
#include <sched.h>
#endif
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "core/error.h"

namespace selfrefine {
namespace {

constexpr Isa kAll[] = {Isa::portable, Isa::neon, Isa::avx2, Isa::avx512, Isa::avx512_bf16};

#if defined(__x86_64__)
/// Asked of the processor itself: the __builtin_cpu_supports of clang 14 does not know the name "f16c".
bool has_f16c() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx & bit_F16C) != 0;
}
#endif

bool runs_here([[maybe_unused]] Isa isa) {
#if defined(__x86_64__)
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  if (isa == Isa::avx2) return avx2;
  if (isa == Isa::avx512) return avx512;
  if (isa == Isa::avx512_bf16) return avx512 && __builtin_cpu_supports("avx512bf16");
#elif defined(__aarch64__) && defined(__ARM_NEON)
  if (isa == Isa::neon) return true;
#endif
  return isa == Isa::portable;
}

std::string names(const std::vector<Isa>& isas) {
  std::string text;
  for (const Isa isa : isas) text += (text.empty() ? "" : ", ") + std::string(isa_name(isa));
  return text;
}

/// Processors allowed by "max 100000" or "150000 100000" (quota and period, as cpu.max has them); 0 = no limit known.
int quota_processors(double quota, double period) {
  return quota > 0 && period > 0 ? std::max(1, static_cast<int>(std::ceil(quota / period))) : 0;
}

int read_cpu_max(const std::string& path) {
  std::ifstream file(path);
  std::string quota;
  double period = 0;
  if (!(file >> quota >> period) || quota == "max") return 0;
  return quota_processors(std::strtod(quota.c_str(), nullptr), period);
}

int read_cfs_quota(const std::string& directory) {
  double quota = 0, period = 0;
  std::ifstream(directory + "/cpu.cfs_quota_us") >> quota;
  std::ifstream(directory + "/cpu.cfs_period_us") >> period;
  return quota_processors(quota, period);
}

/// The tightest CPU quota of this process's control groups and all their ancestors; 0 where there is none.
int cgroup_processors() {
  int tightest = 0;
  const auto consider = [&](int limit) {
    if (limit > 0 && (tightest == 0 || limit < tightest)) tightest = limit;
  };
  std::ifstream groups("/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    const size_t first = line.find(':');
    const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    const bool unified = controllers == ",,";
    if (!unified && controllers.find(",cpu,") == std::string::npos) continue;
    for (std::string path = line.substr(second + 1);; path.resize(path.find_last_of('/'))) {
      if (path == "/") path.clear();
      if (unified) consider(read_cpu_max("/sys/fs/cgroup" + path + "/cpu.max"));
      else consider(read_cfs_quota("/sys/fs/cgroup/cpu" + path));
      if (path.find('/') == std::string::npos) break;
    }
  }
  return tightest;
}

int affinity_processors() {
#if defined(__linux__)
  // The kernel refuses a mask smaller than its own, so grow until it fits.
  for (int processors = 1024; processors <= 1 << 16; processors *= 2) {
    cpu_set_t* set = CPU_ALLOC(processors);
    if (set == nullptr) break;
    const size_t bytes = CPU_ALLOC_SIZE(processors);
    const int count = sched_getaffinity(0, bytes, set) == 0 ? CPU_COUNT_S(bytes, set) : 0;
    CPU_FREE(set);
    if (count > 0) return count;
  }
#endif
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

}  // namespace

const char* isa_name(Isa isa) {
  switch (isa) {
    case Isa::portable: return "portable";
    case Isa::avx2: return "avx2";
    case Isa::avx512: return "avx512";
    case Isa::avx512_bf16: return "avx512_bf16";
    case Isa::neon: return "neon";
  }
  return "?";
}

std::vector<Isa> supported_isas() {
  std::vector<Isa> isas;
  for (const Isa isa : kAll) {
    if (runs_here(isa)) isas.push_back(isa);
  }
  return isas;
}

Isa choose_isa() {
  const std::vector<Isa> supported = supported_isas();
  const char* wanted = std::getenv("SELFREFINE_CPU_ISA");
  if (wanted == nullptr || *wanted == '\0') return supported.back();
  for (const Isa isa : supported) {
    if (isa_name(isa) == std::string(wanted)) return isa;
  }
  for (const Isa isa : kAll) {
    if (isa_name(isa) == std::string(wanted)) {
      fail(ErrorCode::unsupported, "SELFREFINE_CPU_ISA=", wanted, ": this processor cannot run it, it can run ",
           names(supported), "; unset the variable to use the fastest");
    }
  }
  fail(ErrorCode::invalid_argument, "SELFREFINE_CPU_ISA=", wanted, " is not an instruction set, expected one of ",
       names(supported), "; unset the variable to use the fastest");
}

int available_processors() {
  const int quota = cgroup_processors();
  const int affinity = affinity_processors();
  return quota > 0 ? std::min(quota, affinity) : affinity;
}

}  // namespace selfrefine
