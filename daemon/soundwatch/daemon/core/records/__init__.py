"""Records that pass between the stages, and the protocols of sources.

Conventions: records are frozen and their arrays read-only; channels come first, time last.
Shape alphabet: C channels, S samples, M mels, T frames, K classes, G tags. Samples are float32 in -1 to 1.
Time is a count of samples since the stream's start: at the source's rate in a `Block` from capture,
at the model's rate from `resample` on. Seconds and UTC are derived in `events/`.
Never: read audio or compute features.
"""
