#include "kernels.h"
#include "launch.h"
#include "unroll.h"
#include "warp.h"

namespace lmf::cuda {
namespace {

constexpr int kChains = 8;     // independent chains of matrix instructions per warp
constexpr int kThreads = 256;  // per block
constexpr int kBlocks = 4;     // per multiprocessor

template <class Half>
__global__ void __launch_bounds__(kThreads) chains(int rounds, float* sink) {
  const uint32_t one = warp::pack<Half>(1.0f / 16, 1.0f / 16), lane = uint32_t(warp::lane());
  // Lanes hold different numbers, because equal numbers can run faster.
  const uint32_t a[4] = {one, one ^ lane, one, one ^ lane}, b[2] = {one, one ^ (lane << 1)};
  float d[kChains][4] = {};
  for (int i = 0; i < rounds; ++i) {
    LMF_UNROLL
    for (int k = 0; k < kChains; ++k) warp::mma<Half>(d[k], a, b, d[k]);
  }
  float sum = 0.0f;
  LMF_UNROLL
  for (int k = 0; k < kChains; ++k) sum += d[k][0] + d[k][1] + d[k][2] + d[k][3];
  if (sum == -1.0f) *sink = sum;  // never true, but the compiler cannot know
}

class Timer {
 public:
  Timer() {
    check(cudaEventCreate(&begin_), "creating an event");
    check(cudaEventCreate(&end_), "creating an event");
  }
  ~Timer() {
    cudaEventDestroy(begin_);
    cudaEventDestroy(end_);
  }
  Timer(const Timer&) = delete;

  template <class F>
  double seconds(F launch) {
    check(cudaEventRecord(begin_), "recording an event");
    launch();
    check(cudaGetLastError(), "launching mma_rate");
    check(cudaEventRecord(end_), "recording an event");
    check(cudaEventSynchronize(end_), "running mma_rate");
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, begin_, end_), "reading an event");
    return milliseconds * 1e-3;
  }

 private:
  cudaEvent_t begin_ = nullptr, end_ = nullptr;
};

template <class Half>
double rate(double seconds, int multiprocessors) {
  const int blocks = multiprocessors * kBlocks;
  Timer timer;
  const auto run = [&](int rounds) {
    return timer.seconds([&] { chains<Half><<<blocks, kThreads>>>(rounds, nullptr); });
  };
  run(1);  // loads the kernel
  int rounds = 1000;
  double took = run(rounds);
  while (took < seconds && rounds < (1 << 28)) {
    rounds *= 2;
    took = run(rounds);
  }
  const double operations = 2.0 * 16 * 8 * 16;  // per m16n8k16
  return operations * kChains * rounds * blocks * (kThreads / 32) / took;
}

}  // namespace

double mma_rate(Element half, double seconds, int device) {
  set_device(device);
  const int count = multiprocessors(device);
  return half == Element::float16 ? rate<warp::F16>(seconds, count) : rate<warp::BF16>(seconds, count);
}

}  // namespace lmf::cuda
