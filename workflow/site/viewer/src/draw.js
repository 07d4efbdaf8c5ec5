// WebGL2: tiles as textures; channels are added up, labels laid over them.

const VERTEX = `#version 300 es
in vec2 corner;
uniform vec4 place;   // left, top, width, height in clip space
uniform vec4 part;    // left, top, width, height in the texture
out vec2 at;
void main() {
  at = part.xy + corner * part.zw;
  gl_Position = vec4(place.x + corner.x * place.z, place.y - corner.y * place.w, 0.0, 1.0);
}`;

const CHANNEL = `#version 300 es
precision highp float;
in vec2 at;
uniform sampler2D image;
uniform vec3 color;
uniform vec2 window;
uniform float gain;   // 255 for textures that WebGL normalises
out vec4 result;
void main() {
  float value = texture(image, at).r * gain;
  if (isnan(value)) discard; // no value, no light
  float bright = clamp((value - window.x) / max(window.y - window.x, 1e-9), 0.0, 1.0);
  result = vec4(color * bright, 1.0);
}`;

const LABELS = `#version 300 es
precision highp float;
precision highp usampler2D;
in vec2 at;
uniform usampler2D image;
uniform usampler2D palette;   // rows of (id, rgba) that the image brings itself
uniform int named;
uniform float opacity;
uniform float outline;
out vec4 result;
uint hash(uint x) { x ^= x >> 16; x *= 0x7feb352dU; x ^= x >> 15; x *= 0x846ca68bU; return x ^ (x >> 16); }
vec3 vivid(float h) {
  vec3 c = clamp(abs(fract(h + vec3(0.0, 2.0 / 3.0, 1.0 / 3.0)) * 6.0 - 3.0) - 1.0, 0.0, 1.0);
  return mix(vec3(1.0), c, 0.88);
}
void main() {
  ivec2 size = textureSize(image, 0);
  ivec2 place = clamp(ivec2(at * vec2(size)), ivec2(0), size - 1);
  uint id = texelFetch(image, place, 0).r;
  if (id == 0u) discard;
  vec4 shade = vec4(vivid(float(hash(id) & 0xffffU) / 65536.0), 1.0);
  for (int i = 0; i < named; i++) {
    if (texelFetch(palette, ivec2(0, i), 0).r == id) {
      uint packed = texelFetch(palette, ivec2(1, i), 0).r;
      shade = vec4(packed >> 24, (packed >> 16) & 255u, (packed >> 8) & 255u, packed & 255u) / 255.0;
    }
  }
  float alpha = opacity;
  if (outline > 0.5) {
    bool edge = false;
    for (int k = 0; k < 4; k++) {
      ivec2 next = place + ivec2(k == 0 ? 1 : k == 1 ? -1 : 0, k == 2 ? 1 : k == 3 ? -1 : 0);
      if (any(lessThan(next, ivec2(0))) || any(greaterThanEqual(next, size))) continue;
      if (texelFetch(image, next, 0).r != id) edge = true;
    }
    if (!edge) discard;
    alpha = 1.0;
  }
  result = vec4(shade.rgb, shade.a * alpha);
}`;

export function compile(gl, vertex, fragment) {
  const program = gl.createProgram();
  for (const [kind, source] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) throw new Error(gl.getShaderInfoLog(shader));
    gl.attachShader(program, shader);
  }
  gl.bindAttribLocation(program, 0, "corner");
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(program));
  const uniforms = new Map();
  const count = gl.getProgramParameter(program, gl.ACTIVE_UNIFORMS);
  for (let i = 0; i < count; i++) {
    const { name } = gl.getActiveUniform(program, i);
    uniforms.set(name, gl.getUniformLocation(program, name));
  }
  return { program, at: (name) => uniforms.get(name) ?? null };
}

export class Painter {
  constructor(canvas) {
    const gl = canvas.getContext("webgl2", { alpha: false, antialias: false });
    if (!gl) throw new Error("this browser offers no WebGL2");
    this.gl = gl;
    this.canvas = canvas;
    this.smooth = Boolean(gl.getExtension("OES_texture_float_linear"));
    this.channel = compile(gl, VERTEX, CHANNEL);
    this.labels = compile(gl, VERTEX, LABELS);
    const buffer = gl.createBuffer();
    gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
    gl.bufferData(gl.ARRAY_BUFFER, new Float32Array([0, 0, 1, 0, 0, 1, 1, 1]), gl.STATIC_DRAW);
    this.quad = gl.createVertexArray();
    gl.bindVertexArray(this.quad);
    gl.enableVertexAttribArray(0);
    gl.vertexAttribPointer(0, 2, gl.FLOAT, false, 0, 0);
    this.palettes = new Map();
  }

  begin(width, height) {
    const { gl, canvas } = this;
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    gl.viewport(0, 0, width, height);
    gl.bindVertexArray(this.quad);
    gl.clearColor(0, 0, 0, 1);
    gl.clear(gl.COLOR_BUFFER_BIT);
    gl.enable(gl.BLEND);
  }

  #texture(tile, isLabels) {
    const { gl } = this;
    if (tile.texture) return tile.texture;
    tile.texture = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, tile.texture);
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
    const { width, height, data } = tile;
    let filter = gl.NEAREST;
    if (isLabels) {
      gl.texImage2D(gl.TEXTURE_2D, 0, gl.R32UI, width, height, 0, gl.RED_INTEGER, gl.UNSIGNED_INT, data);
    } else if (data instanceof Float32Array) {
      gl.texImage2D(gl.TEXTURE_2D, 0, gl.R32F, width, height, 0, gl.RED, gl.FLOAT, data);
    } else {
      gl.texImage2D(gl.TEXTURE_2D, 0, gl.R8, width, height, 0, gl.RED, gl.UNSIGNED_BYTE, data);
    }
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, filter);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, filter);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_S, gl.CLAMP_TO_EDGE);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE);
    return tile.texture;
  }

  release(tile) {
    if (tile.texture) this.gl.deleteTexture(tile.texture);
    tile.texture = null;
  }

  #quad(program, tile, place, part, isLabels) {
    const { gl, canvas } = this;
    gl.activeTexture(gl.TEXTURE0);
    gl.bindTexture(gl.TEXTURE_2D, this.#texture(tile, isLabels));
    const [x, y, w, h] = place;
    gl.uniform4f(
      program.at("place"),
      (x / canvas.width) * 2 - 1,
      1 - (y / canvas.height) * 2,
      (w / canvas.width) * 2,
      (h / canvas.height) * 2,
    );
    gl.uniform4f(program.at("part"), ...part);
    gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
  }

  /** Add one channel's tiles: [{tile, place: [x, y, w, h] device pixels, part: 0..1 of the tile}]. */
  addChannel(pieces, color, start, end) {
    const { gl } = this;
    gl.useProgram(this.channel.program);
    gl.blendFunc(gl.ONE, gl.ONE);
    gl.uniform3fv(this.channel.at("color"), rgbOf(color));
    gl.uniform2f(this.channel.at("window"), start, end);
    for (const { tile, place, part } of pieces) {
      gl.uniform1f(this.channel.at("gain"), tile.data instanceof Float32Array ? 1 : 255);
      this.#quad(this.channel, tile, place, part, false);
    }
  }

  /** Lay one label image over what is there. */
  addLabels(pieces, layer, opacity, outline) {
    const { gl } = this;
    gl.useProgram(this.labels.program);
    gl.blendFunc(gl.SRC_ALPHA, gl.ONE_MINUS_SRC_ALPHA);
    gl.uniform1i(this.labels.at("image"), 0);
    gl.uniform1i(this.labels.at("palette"), 1);
    gl.activeTexture(gl.TEXTURE1);
    const [palette, named] = this.#palette(layer);
    gl.bindTexture(gl.TEXTURE_2D, palette);
    gl.uniform1i(this.labels.at("named"), named);
    gl.uniform1f(this.labels.at("opacity"), opacity);
    gl.uniform1f(this.labels.at("outline"), outline ? 1 : 0);
    for (const { tile, place, part } of pieces) this.#quad(this.labels, tile, place, part, true);
  }

  #palette(layer) {
    if (!this.palettes.has(layer)) {
      const { gl } = this;
      // A shader walks this list for every pixel: long lists take the hashed colours instead.
      const rows = layer.colors.size <= 64 ? [...layer.colors] : [];
      const data = new Uint32Array(Math.max(1, rows.length) * 2);
      for (const [i, [id, [r, g, b, a = 255]]] of rows.entries()) {
        data[2 * i] = id;
        data[2 * i + 1] = ((r << 24) | (g << 16) | (b << 8) | a) >>> 0;
      }
      const texture = gl.createTexture();
      gl.bindTexture(gl.TEXTURE_2D, texture);
      gl.texImage2D(gl.TEXTURE_2D, 0, gl.R32UI, 2, data.length / 2, 0, gl.RED_INTEGER, gl.UNSIGNED_INT, data);
      gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.NEAREST);
      gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.NEAREST);
      this.palettes.set(layer, [texture, rows.length]);
    }
    return this.palettes.get(layer);
  }
}

export function rgbOf(hex) {
  return [0, 2, 4].map((i) => parseInt(hex.slice(i, i + 2), 16) / 255);
}
