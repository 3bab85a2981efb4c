// A text file: a title, then a line for each kind of product with the 64 bytes of its algorithm in hexadecimal. It is
// replaced whole, so a reader never sees half of it; of two processes that choose at once, the first to write prevails.
#include "cuda/cublaslt_choices.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iomanip>
#include <sstream>

#include "core/error.h"
#include "cuda/language.h"

namespace selfrefine {

using cublaslt::MatmulAlgo;

namespace {

constexpr const char* kVariable = "SELFREFINE_CUBLASLT_CHOICES";

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

/// The file's path, or nothing.
std::string path_of([[maybe_unused]] const std::string& gpu) {
  const std::string given = variable(kVariable);
  if (given == "off") return "";
  if (!given.empty()) return given;
#ifdef CUDASIM
  return "";
#else
  const std::string cache = variable("XDG_CACHE_HOME"), home = variable("HOME");
  if (cache.empty() && home.empty()) return "";
  std::string name = "cublaslt-" + gpu + ".txt";
  for (char& c : name) c = c == ' ' || c == '/' ? '-' : c;
  return (cache.empty() ? home + "/.cache" : cache) + "/selfrefine/" + name;
#endif
}

std::string hexadecimal(const MatmulAlgo& algo) {
  std::ostringstream out;
  for (const uint64_t word : algo.data) out << std::hex << std::setfill('0') << std::setw(16) << word;
  return out.str();
}

std::optional<MatmulAlgo> from_hexadecimal(const std::string& text) {
  constexpr size_t kDigits = 16;
  MatmulAlgo algo{};
  if (text.size() != kDigits * std::size(algo.data)) return std::nullopt;
  for (size_t i = 0; i < std::size(algo.data); ++i) {
    const std::string word = text.substr(kDigits * i, kDigits);
    if (word.find_first_not_of("0123456789abcdef") != std::string::npos) return std::nullopt;
    algo.data[i] = std::stoull(word, nullptr, 16);
  }
  return algo;
}

}  // namespace

CublasLtKind::CublasLtKind(const CudaGemm& gemm)
    : n(gemm.n), other(gemm.transpose_a ? gemm.m : gemm.k), transpose_a(gemm.transpose_a),
      transpose_b(gemm.transpose_b), bias(gemm.bias != nullptr), added(gemm.residual != nullptr || gemm.accumulate),
      input_type(gemm.input_type), output_type(gemm.output_type) {}

std::string CublasLtKind::text() const {
  return concat(transpose_a ? "tn" : transpose_b ? "nt" : "nn", '-', n, '-', other, '-', name_of(input_type), '-',
                name_of(output_type), bias ? "-bias" : "", added ? "-added" : "");
}

CublasLtChoices::CublasLtChoices(const std::string& gpu, const std::string& library)
    : path_(path_of(gpu)), title_(concat(gpu, ", ", library)) {
  read();
}

std::optional<MatmulAlgo> CublasLtChoices::find(const CublasLtKind& kind) const {
  const auto found = choices_.find(kind.text());
  return found == choices_.end() ? std::nullopt : std::optional(found->second);
}

std::optional<MatmulAlgo> CublasLtChoices::remember(const CublasLtKind& kind, const MatmulAlgo& algo) {
  read();
  const MatmulAlgo choice = choices_.try_emplace(kind.text(), algo).first->second;
  if (write()) return choice;
  path_.clear();
  return std::nullopt;
}

void CublasLtChoices::read() {
  std::ifstream file(path_);
  std::string line;
  if (path_.empty() || !std::getline(file, line) || line != title_) return;  // made for another GPU or library
  while (std::getline(file, line)) {
    const size_t space = line.find(' ');
    if (space == std::string::npos) continue;
    const auto algo = from_hexadecimal(line.substr(space + 1));
    if (algo) choices_.insert_or_assign(line.substr(0, space), *algo);
  }
}

bool CublasLtChoices::write() const {
  std::error_code problem;
  const std::filesystem::path path(path_), unfinished = concat(path_, ".", getpid());
  std::filesystem::create_directories(path.parent_path(), problem);
  std::ofstream file(unfinished);
  file << title_ << '\n';
  for (const auto& [kind, algo] : choices_) file << kind << ' ' << hexadecimal(algo) << '\n';
  file.close();
  if (file) std::filesystem::rename(unfinished, path, problem);
  if (file && !problem) return true;
  std::filesystem::remove(unfinished, problem);
  return false;
}

}  // namespace selfrefine
