// TensorFlow.js with its WebAssembly back end (plain CPU where that is not installed): node bench/tfjs.js FOLDER INPUT.npy
// Prints its version, then the probabilities as JSON for every line it reads. Packages lie in FOLDER/node_modules.
const fs = require('fs');
const path = require('path');
const [folder, inputPath] = process.argv.slice(2);
const at = name => require(path.join(path.resolve(folder), 'node_modules', name));

function readNpy(file) {
  const bytes = fs.readFileSync(file), start = 10 + bytes.readUInt16LE(8);
  const shape = /'shape': \(([^)]*)\)/.exec(bytes.toString('latin1', 10, start))[1].split(',').filter(s => s.trim()).map(Number);
  return {shape, data: new Float32Array(bytes.buffer.slice(bytes.byteOffset + start, bytes.byteOffset + bytes.length))};
}

async function main() {
  const tf = at('@tensorflow/tfjs');
  const wasm = at('@tensorflow/tfjs-backend-wasm');
  wasm.setWasmPaths(path.join(path.resolve(folder), 'node_modules/@tensorflow/tfjs-backend-wasm/dist/'));
  await tf.setBackend('wasm');
  await tf.ready();
  const source = process.env.NETGAZE_BENCH_MODEL, spec = JSON.parse(fs.readFileSync(path.join(source, 'model.json')));
  const parts = spec.weightsManifest.flatMap(g => g.paths).map(p => fs.readFileSync(path.join(source, p)));
  const weights = Buffer.concat(parts);
  const model = await tf.loadLayersModel(tf.io.fromMemory({
    modelTopology: spec.modelTopology, weightSpecs: spec.weightsManifest.flatMap(g => g.weights),
    weightData: weights.buffer.slice(weights.byteOffset, weights.byteOffset + weights.length)}));
  const input = readNpy(inputPath), x = tf.tensor(input.data, input.shape);
  console.log(`tfjs ${tf.version.tfjs} ${tf.getBackend()}`);
  for await (const line of require('readline').createInterface({input: process.stdin})) {
    const p = model.predict(x);
    console.log(JSON.stringify(Array.from(await p.data())));
    p.dispose();
  }
}
main();
