//! Graphs: what a capture has recorded, made executable and launched.
//!
//! The nodes of a graph are in an order in which they may run, and a launch
//! queues them one after the other.

use std::ffi::{c_char, c_uint, c_ulonglong, c_void};
use std::sync::Arc;

use super::arguments::Out;
use super::capture::Graph;
use super::state::Handle;
use super::status::{Outcome, Status, refuse, require};
use super::{Driver, export};

/// Free what the graph allocated, upload, use node priorities: nothing to do.
const AUTO_FREE_ON_LAUNCH: c_ulonglong = 1;
const DEVICE_LAUNCH: c_ulonglong = 4;
const ALL_FLAGS: c_ulonglong = 0xF;

impl Driver {
    fn instantiate(&'static self, exec: Out<Handle>, graph: Handle, flags: c_ulonglong) -> Outcome {
        exec.check()?;
        let mut state = self.lock();
        let contradiction = AUTO_FREE_ON_LAUNCH | DEVICE_LAUNCH;
        let allowed = flags & !ALL_FLAGS == 0 && flags & contradiction != contradiction;
        require(allowed, Status::InvalidValue, || format!("flags {flags:#x}"))?;
        require(flags & DEVICE_LAUNCH == 0, Status::NotSupported, || {
            "launch of graphs by kernels is not emulated".into()
        })?;
        let copy = Arc::new(state.graphs.get(graph)?.clone());
        exec.set(state.execs.insert(copy))
    }
}

export! {
    |driver| fn cuGraphCreate(graph: Out<Handle>, flags: c_uint) {
        graph.check()?;
        require(flags == 0, Status::InvalidValue, || "the flags must be 0".into())?;
        graph.set(driver.lock().graphs.insert(Graph::default()))
    }

    |driver| fn cuGraphClone(clone: Out<Handle>, graph: Handle) {
        clone.check()?;
        let mut state = driver.lock();
        let copy = state.graphs.get(graph)?.clone();
        clone.set(state.graphs.insert(copy))
    }

    |driver| fn cuGraphDestroy(graph: Handle) {
        driver.lock().graphs.remove(graph).map(drop)
    }

    |driver| fn cuGraphGetNodes(graph: Handle, nodes: Out<Handle>, count: Out<usize>) {
        let state = driver.lock();
        let found = state.graphs.get(graph)?.nodes.len();
        if nodes.is_null() {
            return count.set(found);
        }
        // A node has no handle of its own yet: its index stands for it.
        let room = count.get()?;
        nodes.set_all((0..room).map(|i| if i < found { i as Handle + 1 } else { 0 }))?;
        count.set(found.min(room))
    }

    |driver| fn cuGraphInstantiateWithFlags(exec: Out<Handle>, graph: Handle, flags: c_ulonglong) {
        driver.instantiate(exec, graph, flags)
    }

    |driver| fn cuGraphInstantiate_v2(
        exec: Out<Handle>,
        graph: Handle,
        _error_node: *mut c_void,
        _log: *mut c_char,
        _log_size: usize,
    ) {
        driver.instantiate(exec, graph, 0)
    }

    |driver| fn cuGraphExecDestroy(exec: Handle) {
        driver.lock().execs.remove(exec).map(drop)
    }

    |driver| fn cuGraphUpload(exec: Handle, stream: Handle) {
        let mut state = driver.lock();
        state.stream(stream)?;
        state.execs.get(exec).map(drop)
    }

    |driver| fn cuGraphLaunch(exec: Handle, stream: Handle) {
        let mut state = driver.lock();
        let stream = state.stream(stream)?;
        let graph = state.execs.get(exec)?.clone();
        if let Some((capture, _)) = state.captured(stream)? {
            state.captures.get_mut(capture)?.invalid = true;
            return refuse(Status::StreamCaptureUnsupported, "graphs within graphs are not emulated");
        }
        let mut last = None;
        for node in &graph.nodes {
            last = state.enqueue(stream, node.operation.clone())?;
        }
        driver.submitted(state, last);
        Ok(())
    }
}
