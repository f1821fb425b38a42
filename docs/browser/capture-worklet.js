// Runs in the browser's audio thread: averages the channels and posts blocks of samples to the classifier.

const BLOCK_SAMPLES = 4096;

class Capture extends AudioWorkletProcessor {
  constructor(options) {
    super(options);
    this.block = new Float32Array(BLOCK_SAMPLES);
    this.filled = 0;
    this.port.onmessage = ({ data }) => (this.classifier = data.classifier);
  }

  process([channels]) {
    const samples = channels[0]?.length ?? 0;
    for (let index = 0; index < samples; index++) {
      let sum = 0;
      for (const channel of channels) sum += channel[index];
      this.block[this.filled++] = sum / channels.length;
      if (this.filled === BLOCK_SAMPLES) {
        this.classifier?.postMessage(this.block);
        this.filled = 0;
      }
    }
    return true;
  }
}

registerProcessor("capture", Capture);
