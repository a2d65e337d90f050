// Search on a disk: a browser starts no worker from a file, so the search runs in a hidden frame instead.
// Loaded before the theme, which asks for `IFrameWorker` and uses it as it would a Worker.
if (location.protocol === "file:") {
  window.IFrameWorker = class extends EventTarget {
    constructor(url) {
      super()
      const frame = document.createElement("iframe")
      frame.hidden = true
      document.body.append(frame)
      this.inner = frame.contentWindow
      // What the search posts comes out here, as from a worker.
      this.inner.postMessage = data => this.deliver(this, data)
      const script = this.inner.document.createElement("script")
      this.loaded = new Promise(done => script.addEventListener("load", done))
      script.src = url
      this.inner.document.body.append(script)
    }

    postMessage(data) {
      this.loaded.then(() => this.deliver(this.inner, data))
    }

    deliver(receiver, data) {
      const message = new MessageEvent("message", { data })
      receiver.dispatchEvent(message)
      receiver.onmessage?.(message)
    }

    terminate() {
      this.inner.frameElement.remove()
    }
  }
  window.Worker = window.IFrameWorker
}
