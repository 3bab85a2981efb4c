// Replays the file of write-cases.cjs on the reference and on the simulated GPU. Every tensor has an allocation of its
// exact size, at a multiple of 16 bytes or one element off, and the GPU is a Hopper or an Ampere: of these runs those
// are chosen that together start every kernel (coverage.h). Threads run in several orders, which must not change a bit.
// Tolerances here only tell right from wrong: the kernel tests are the strict ones.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <sstream>
#include <vector>

#include "../../binding/ops_fields.h"
#include "check.h"
#include "coverage.h"
#include "cuda/cuda_backend.h"
#include "cuda/sim/observer.h"
#include "kernels/reference.h"

using namespace selfrefine;

namespace {

struct Stored {
  Tensor shape;  // its memory is `bytes` or a copy of it
  std::string role;
  std::vector<char> bytes;
};
struct Field {
  std::string kind;
  int tensor = -1;
  std::vector<double> numbers;
};
struct Call {
  std::string op, title;
  std::map<std::string, Field> fields;
};
struct Case {
  std::map<int, Stored> tensors;
  std::vector<Call> calls;
};

DType dtype_of(const std::string& name) {
  for (const DType dtype : {DType::f32, DType::bf16, DType::f64, DType::i32}) {
    if (name == name_of(dtype)) return dtype;
  }
  fail(ErrorCode::invalid_argument, "unknown dtype ", name);
}

void read_tensor(std::istream& file, Case& into) {
  int id = 0;
  std::string dtype;
  Stored stored;
  size_t bytes = 0;
  file >> id >> dtype >> stored.role >> stored.shape.rank;
  stored.shape.dtype = dtype_of(dtype);
  for (int i = 0; i < stored.shape.rank; ++i) file >> stored.shape.shape[static_cast<size_t>(i)];
  file >> bytes;
  file.ignore(1);
  stored.bytes.resize(bytes);
  file.read(stored.bytes.data(), static_cast<std::streamsize>(bytes));
  into.tensors[id] = std::move(stored);
}

void read_field(std::istream& file, Call& into) {
  std::string name, text;
  Field field;
  file >> name >> field.kind;
  size_t count = field.kind == "number" ? 1 : 0;
  if (field.kind == "tensor") file >> field.tensor;
  if (field.kind == "numbers") file >> count;
  for (size_t i = 0; i < count; ++i) {
    file >> text;
    field.numbers.push_back(std::strtod(text.c_str(), nullptr));
  }
  into.fields[name] = std::move(field);
}

bool read_case(std::istream& file, Case& into) {
  std::string word;
  while (file >> word) {
    if (word == "tensor") read_tensor(file, into);
    if (word == "field") read_field(file, into.calls.back());
    if (word == "end") return true;
    if (word != "op") continue;
    Call call;
    file >> call.op;
    std::getline(file, call.title);
    into.calls.push_back(std::move(call));
  }
  return false;
}

/// The tensors of a case in memory of their own for one run.
class Placed {
 public:
  Placed(const Case& from, bool aligned) {
    for (const auto& [id, stored] : from.tensors) {
      const size_t shift = aligned ? 0 : static_cast<size_t>(size_of(stored.shape.dtype));
      std::unique_ptr<char, decltype(&std::free)> memory(
          static_cast<char*>(std::malloc(shift + stored.bytes.size())), &std::free);
      if (!stored.bytes.empty()) std::memcpy(memory.get() + shift, stored.bytes.data(), stored.bytes.size());
      Tensor tensor = stored.shape;
      tensor.data = memory.get() + shift;
      tensors_[id] = tensor;
      memory_.push_back(std::move(memory));
    }
  }
  const Tensor& at(int id) const { return tensors_.at(id); }

 private:
  std::map<int, Tensor> tensors_;
  std::vector<std::unique_ptr<char, decltype(&std::free)>> memory_;
};

template <typename T>
void assign(T& member, const Field& field, const Placed& placed) {
  if constexpr (std::is_same_v<T, Tensor>) {
    member = placed.at(field.tensor);
  } else if constexpr (std::is_arithmetic_v<T> || std::is_enum_v<T>) {
    member = static_cast<T>(field.numbers.at(0));
  } else if constexpr (std::is_same_v<T, std::vector<int64_t>>) {
    member.assign(field.numbers.begin(), field.numbers.end());
  } else {
    member = [](int64_t, int64_t) {};
  }
}

template <typename Op>
bool run_if(const char* name, Backend& backend, const Call& call, const Placed& placed) {
  if (call.op != name) return false;
  Op op;
  visit_fields(op, [&](std::string_view field, auto& member) {
    const auto given = call.fields.find(std::string(field));
    if (given != call.fields.end()) assign(member, given->second, placed);
  });
  backend.run(op);
  return true;
}

void run(Backend& backend, const Case& from, const Placed& placed) {
  for (const Call& call : from.calls) {
    bool known = false;
#define SELFREFINE_RUN(Op) known = known || run_if<Op>(#Op, backend, call, placed);
    SELFREFINE_OPS(SELFREFINE_RUN)
#undef SELFREFINE_RUN
    if (!known) fail(ErrorCode::invalid_argument, "unknown op ", call.op);
  }
  backend.synchronize();
}

double element(const Tensor& tensor, int64_t i) {
  switch (tensor.dtype) {
    case DType::bf16: return to_float(tensor.as<bf16>()[i]);
    case DType::f64: return tensor.as<double>()[i];
    case DType::i32: return tensor.as<int32_t>()[i];
    default: return tensor.as<float>()[i];
  }
}

/// Largest difference over the largest magnitude, which is taken as at least 1; NaN counts as infinite.
double difference(const Tensor& got, const Tensor& wanted) {
  double worst = 0, size = 1;
  for (int64_t i = 0; i < wanted.elements(); ++i) {
    const double error = std::fabs(element(got, i) - element(wanted, i));
    if (!(error <= worst)) worst = std::isnan(error) ? INFINITY : error;
    size = std::fmax(size, std::fabs(element(wanted, i)));
  }
  return worst / size;
}

double allowed(DType dtype) {
  if (dtype == DType::i32) return 0;
  return dtype == DType::bf16 ? 0.04 : dtype == DType::f64 ? 1e-9 : 1e-2;
}

bool is_result(const Stored& stored) { return stored.role != "input" && stored.role != "scratch"; }

/// What is wrong with the case; empty if nothing.
std::string check(Backend& reference, Backend& simulation, const Case& given, bool aligned) {
  const Placed wanted(given, aligned);
  run(reference, given, wanted);
  const Placed first(given, aligned);
  setenv("CUDASIM_ORDER", "0", 1);
  run(simulation, given, first);
  for (const auto& [id, stored] : given.tensors) {
    if (!is_result(stored)) continue;
    const double error = difference(first.at(id), wanted.at(id));
    if (!(error <= allowed(stored.shape.dtype))) return concat("tensor ", id, " differs by ", error);
  }
#if defined(CUDASIM_TSAN)
  const std::vector<const char*> orders;  // a race is seen in every order
#else
  const std::vector<const char*> orders{"12345"};
#endif
  for (const char* order : orders) {
    setenv("CUDASIM_ORDER", order, 1);
    const Placed again(given, aligned);
    run(simulation, given, again);
    for (const auto& [id, stored] : given.tensors) {
      if (!is_result(stored) || std::memcmp(again.at(id).data, first.at(id).data, stored.bytes.size()) == 0) continue;
      return concat("tensor ", id, " depends on the order of threads (", order, ")");
    }
  }
  return "";
}

/// The simulated GPUs, by compute capability.
class Devices {
 public:
  Devices() {
    for (const int compute : {80, 86, 90}) {
      claim(compute);
      backends_.emplace(compute, std::make_unique<CudaBackend>(BackendOptions{}));
    }
  }
  Backend& of(int compute) {
    claim(compute);
    return *backends_.at(compute);
  }

 private:
  static void claim(int compute) { setenv("CUDASIM_COMPUTE", std::to_string(compute).c_str(), 1); }

  std::map<int, std::unique_ptr<CudaBackend>> backends_;
};

constexpr Way kWays[] = {{90, false}, {90, true}, {80, false}, {80, true}, {86, false}, {86, true}};

/// Calls visit(number, case) for each case of the file.
template <typename Visit>
void for_each_case(const std::string& path, const Visit& visit) {
  std::ifstream file(path, std::ios::binary);
  size_t number = 0;
  for (Case given; read_case(file, given); given = {}) visit(number++, given);
}

size_t bytes_of(const Case& given) {
  size_t sum = 0;
  for (const auto& [id, stored] : given.tensors) sum += stored.bytes.size();
  return sum;
}

/// Which kernels each case would start.
Coverage coverage_of(const std::string& path, Devices& devices) {
  Coverage coverage;
  for_each_case(path, [&](size_t number, const Case& given) {
    for (const Way& way : kWays) {
      const Placed placed(given, way.aligned);
      cudasim::launch_observer = [&](const cudasim::Launch& launch) {
        const size_t blocks = size_t{launch.grid.x} * launch.grid.y * launch.grid.z;
        coverage.add(number, way, bytes_of(given), launch.function, blocks);
      };
      run(devices.of(way.compute), given, placed);
      cudasim::launch_observer = nullptr;
    }
  });
  return coverage;
}

/// The runs to make: with `only`, all of that op.
std::set<std::pair<size_t, Way>> chosen_runs(const std::string& path, const std::string& only, Devices& devices) {
  if (only.empty()) {
    const Coverage coverage = coverage_of(path, devices);
    std::printf("%zu kernels, %zu of them never with more than one block\n", coverage.kernels(),
                coverage.kernels_of_one_block());
    std::fflush(stdout);
    return coverage.choose();
  }
  std::set<std::pair<size_t, Way>> all;
  for_each_case(path, [&](size_t number, const Case& given) {
    if (given.calls.back().op != only) return;
    for (const Way& way : kWays) all.insert({number, way});
  });
  return all;
}

}  // namespace

int replay_cases(const std::string& path, const std::string& only) {
  ReferenceBackend reference;
  Devices devices;
  const auto chosen = chosen_runs(path, only, devices);
  int passed = 0, failed = 0;
  for_each_case(path, [&](size_t number, const Case& given) {
    for (const Way& way : kWays) {
      if (!chosen.contains({number, way})) continue;
      std::string wrong;
      try {
        wrong = check(reference, devices.of(way.compute), given, way.aligned);
      } catch (const std::exception& error) {
        wrong = error.what();
      }
      wrong.empty() ? ++passed : ++failed;
      if (wrong.empty()) continue;
      const Call& call = given.calls.back();
      std::printf("FAILED %s%s, sm_%d%s: %s\n", call.op.c_str(), call.title.c_str(), way.compute,
                  way.aligned ? ", aligned" : "", wrong.c_str());
    }
  });
  if (passed + failed == 0) std::printf("FAILED: %s holds no cases\n", path.c_str());
  std::printf("%d passed, %d failed, 0 skipped\n", passed, failed);
  return passed + failed == 0 ? 1 : failed;
}
