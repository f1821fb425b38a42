// The browser's microphone, as a stream of samples to the classifier and an analyser for the drawings.

const CONSTRAINTS = {
  // What browsers do to speech would change every other sound.
  audio: { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false },
};

/** Return the sentence that names what this browser lacks, or null. */
export function lacking() {
  if (!self.isSecureContext) return "The microphone needs a secure page: open it by https, or on 127.0.0.1.";
  if (!navigator.mediaDevices?.getUserMedia) return "This browser gives pages no microphone.";
  if (!self.AudioWorkletNode) return "This browser has no AudioWorklet. Use a newer one.";
  return null;
}

/**
 * Open the microphone. Call it from a click: browsers start sound from nothing else.
 * @param {(reason: string) => void} onLost called if the microphone ends by itself
 */
export async function openMicrophone(onLost) {
  const context = new AudioContext();
  try {
    const [stream] = await Promise.all([
      navigator.mediaDevices.getUserMedia(CONSTRAINTS),
      context.audioWorklet.addModule("capture-worklet.js"),
    ]);
    await context.resume();
    const source = context.createMediaStreamSource(stream);
    const analyser = new AnalyserNode(context, { fftSize: 2048, smoothingTimeConstant: 0 });
    const capture = new AudioWorkletNode(context, "capture", { numberOfOutputs: 0 });
    const channel = new MessageChannel();
    capture.port.postMessage({ classifier: channel.port1 }, [channel.port1]);
    source.connect(analyser);
    source.connect(capture);
    const [track] = stream.getAudioTracks();
    track.addEventListener("ended", () => onLost("The microphone was unplugged, or the browser took it back."));
    return { name: track.label, rate_hz: context.sampleRate, port: channel.port2, analyser, close: () => close(stream, context) };
  } catch (error) {
    await context.close();
    throw error;
  }
}

async function close(stream, context) {
  for (const track of stream.getTracks()) track.stop();
  await context.close();
}

/** Return the state and the sentence for an error of `openMicrophone`. */
export function explain(error) {
  switch (error.name) {
    case "NotAllowedError":
      return ["refused", "The browser refused the microphone. Allow it for this page (the sign in the address bar), then press Start."];
    case "NotFoundError":
      return ["no-microphone", "There is no microphone. Connect one, then press Start."];
    case "NotReadableError":
      return ["no-microphone", "The microphone cannot be opened: another program may have it. Close that program, then press Start."];
    default:
      return ["failed", `The microphone cannot be opened: ${error.message}.`];
  }
}
