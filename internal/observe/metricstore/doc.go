// Package metricstore keeps the fleet's metrics: Prometheus' time series
// database (TSDB) and query engine, in this process.
//
// What is written is Prometheus' remote write 1.0, one batch a call, each of
// one host; the store says itself whose it is (label instance), so that no
// host can write as another.
//
// What holds when Write returns nil: the batch is in the write-ahead log and
// handed to the kernel. It survives the end of this process, also by kill -9.
// It is synced to the disk within SyncEvery, so that a crash of the machine
// loses at most that much. A batch that is not taken is answered with
// CodeUnavailable (send it again) or CodeInvalid (never again). The same batch
// twice is the same as once.
//
// A disk that runs full ends nothing: below MinFree nothing more is taken,
// queries go on, and Problems says so. Should the log have failed before that,
// its end is mended, once there is space again, by opening the database anew.
package metricstore
