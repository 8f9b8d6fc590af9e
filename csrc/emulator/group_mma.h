// Matrix instructions of a warpgroup (PTX's wgmma), which run while the warps go on. A product is carried out when it
// is waited for. Until then its sums hold NaN; it is an error if the sums or the A operand are touched meanwhile, or B
// is written.
#pragma once

#include <array>
#include <cstring>
#include <deque>
#include <map>
#include <vector>

#include "half.h"
#include "memory.h"

namespace lmf::emulator {

// Where element (k, n) of a 16 x 256 matrix of halves lies in shared memory. Decodes a matrix descriptor as the PTX ISA
// describes it, for K-major operands with a 64-byte swizzle: rows of constant n, 64 bytes apart in groups of eight,
// the groups a stride apart; bits 4 and 5 of the address are exchanged with bits 7 and 8 added to them bit by bit.
class Descriptor {
 public:
  explicit Descriptor(uint64_t bits) : start_(int64_t(bits & 0x3fff) << 4), stride_(int64_t(bits >> 32 & 0x3fff) << 4) {
    const uint64_t mode = bits >> 62, base_offset = bits >> 49 & 7;
    if (mode != 2) throw Error("a matrix descriptor with swizzling mode " + std::to_string(mode) + ", 2 is 64 bytes");
    if (base_offset != 0) throw Error("a matrix descriptor with a base offset");
  }

  int64_t offset(int k, int n) const {
    const int64_t plain = start_ + n / 8 * stride_ + n % 8 * 64 + 2 * k;
    return plain ^ (plain >> 7 & 3) << 4;
  }

 private:
  int64_t start_, stride_;
};

class GroupProducts {
 public:
  GroupProducts(SharedMemory& shared, int warps) : shared_(shared), warps_(size_t(warps)) {}

  void fence(int warp) { warps_[size_t(warp)].fenced = true; }

  // The registers of the 32 lanes of a warp: sums d (32 tiles of 4), a (4).
  template <class Half>
  void start(int warp, const std::array<float*, kWarp>& d, const std::array<const uint32_t*, kWarp>& a, uint64_t b) {
    Warp& state = warps_[size_t(warp)];
    if (!state.fenced) throw Error("group_mma without a group_fence since the registers were last used");
    if (state.sums[0].empty()) {
      for (int lane = 0; lane < kWarp; ++lane) {
        state.sums[size_t(lane)].assign(d[size_t(lane)], d[size_t(lane)] + kSums);
        for (int i = 0; i < kSums; ++i) std::memcpy(d[size_t(lane)] + i, &kPoison, sizeof kPoison);
      }
      state.registers = d;
    } else if (state.registers != d) {
      throw Error("group_mma with other sums than the products before it, which are on their way");
    }
    Product product;
    product.multiply = &GroupProducts::multiply<Half>;
    product.operand = a;
    for (int lane = 0; lane < kWarp; ++lane) std::memcpy(product.a[lane], a[size_t(lane)], sizeof product.a[lane]);
    const Descriptor where(b);
    product.b.resize(16 * 256);
    for (int k = 0; k < 16; ++k) {
      for (int n = 0; n < 256; ++n) {
        unsigned char* p = shared_.begin() + where.offset(k, n);
        if (k % 2 == 0) shared_.check_load(p, 4, warp * kWarp);  // two halves
        std::memcpy(&product.b[size_t(k * 256 + n)], p, 2);
      }
    }
    product.descriptor = b;
    state.open.push_back(std::move(product));
  }

  void commit(int warp) {
    Warp& state = warps_[size_t(warp)];
    state.groups.push_back(std::move(state.open));
    state.open.clear();
  }

  void wait(int warp, int pending) {
    Warp& state = warps_[size_t(warp)];
    for (; int64_t(state.groups.size()) > pending; state.groups.pop_front()) {
      for (const Product& product : state.groups.front()) {
        check_untouched(state, product, warp);
        product.multiply(state, product);
      }
    }
    state.fenced = false;
    if (!state.groups.empty() || !state.open.empty() || state.sums[0].empty()) return;
    for (int lane = 0; lane < kWarp; ++lane) {
      std::memcpy(state.registers[size_t(lane)], state.sums[size_t(lane)].data(), kSums * sizeof(float));
      state.sums[size_t(lane)].clear();
    }
  }

  // What is wrong when the block ends, or "".
  std::string left() const {
    for (const Warp& state : warps_) {
      if (!state.groups.empty() || !state.open.empty())
        return "it ends before its matrix products have been waited for";
    }
    return "";
  }

 private:
  static constexpr int kSums = 128;
  static constexpr uint32_t kPoison = 0xffbfffffu;  // a signalling NaN: any arithmetic with it changes its bits

  struct Warp;
  struct Product {
    void (*multiply)(Warp&, const Product&);
    std::array<const uint32_t*, kWarp> operand;
    uint32_t a[kWarp][4];
    std::vector<uint16_t> b;  // (16, 256), as it was at the start
    uint64_t descriptor;
  };
  struct Warp {
    bool fenced = false;
    std::array<std::vector<float>, kWarp> sums;  // empty: nothing is on its way
    std::array<float*, kWarp> registers{};
    std::vector<Product> open;
    std::deque<std::vector<Product>> groups;  // oldest first
  };

  void check_untouched(const Warp& state, const Product& product, int warp) const {
    const Descriptor where(product.descriptor);
    for (int lane = 0; lane < kWarp; ++lane) {
      if (std::memcmp(product.a[lane], product.operand[size_t(lane)], sizeof product.a[lane]) != 0)
        throw Error("lane " + std::to_string(lane) + " changed the A operand of a product on its way");
      for (int i = 0; i < kSums; ++i) {
        if (std::memcmp(state.registers[size_t(lane)] + i, &kPoison, sizeof kPoison) != 0)
          throw Error("lane " + std::to_string(lane) + " touched the sums of a product on its way");
      }
    }
    for (int k = 0; k < 16; ++k) {
      for (int n = 0; n < 256; ++n) {
        unsigned char* p = shared_.begin() + where.offset(k, n);
        if (k % 2 == 0) shared_.check_load(p, 4, warp * kWarp);
        if (std::memcmp(&product.b[size_t(k * 256 + n)], p, 2) != 0)
          throw Error("the B operand of a product on its way was overwritten");
      }
    }
  }

  // Products are exact and sums are in double. Each element is rounded to float32 once per product.
  template <class Half>
  static void multiply(Warp& state, const Product& product) {
    double a[16][16];
    for (int lane = 0; lane < kWarp; ++lane) {
      for (int i = 0; i < 4; ++i) {
        for (int half = 0; half < 2; ++half) {
          a[lane / 4 + 8 * (i % 2)][8 * (i / 2) + 2 * (lane % 4) + half] =
              widened(uint16_t(product.a[lane][i] >> 16 * half), Half{});
        }
      }
    }
    static thread_local double b[16][256];
    for (int i = 0; i < 16 * 256; ++i) b[i / 256][i % 256] = widened(product.b[size_t(i)], Half{});
    for (int row = 0; row < 16; ++row) {
      const auto d = [&](int n) -> float& {
        return state.sums[size_t(row % 8 * 4 + n % 8 / 2)][size_t(n / 8 * 4 + row / 8 * 2 + n % 2)];
      };
      double sum[256];
      for (int n = 0; n < 256; ++n) sum[n] = d(n);
      for (int k = 0; k < 16; ++k) {
        for (int n = 0; n < 256; ++n) sum[n] += a[row][k] * b[k][n];
      }
      for (int n = 0; n < 256; ++n) d(n) = float(sum[n]);
    }
  }

  SharedMemory& shared_;
  std::vector<Warp> warps_;
};

}  // namespace lmf::emulator
