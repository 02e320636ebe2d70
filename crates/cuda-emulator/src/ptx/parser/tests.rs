use super::parse;
use crate::ptx::ast::*;

const HEADER: &str = ".version 9.0\n.target sm_90a, debug\n.address_size 64\n";

fn module(text: &str) -> Module {
    parse(&format!("{HEADER}{text}")).unwrap_or_else(|error| panic!("{error}"))
}

/// The error's line (after the header), column, found and expected.
fn error(text: &str) -> (u32, u32, String, String) {
    let error = parse(&format!("{HEADER}{text}")).unwrap_err();
    (error.line - 3, error.column, error.found, error.expected)
}

fn body(text: &str) -> Vec<Statement> {
    let mut module = module(&format!(".entry k()\n{{\n{text}\n}}\n"));
    module.functions.remove(0).body.unwrap()
}

fn instruction(text: &str) -> Instruction {
    match body(text).remove(0) {
        Statement::Instruction(instruction) => instruction,
        other => panic!("{other:?}"),
    }
}

fn operands(text: &str) -> Vec<Operand> {
    instruction(text).operands
}

fn variable(text: &str) -> Variable {
    module(text).variables.remove(0)
}

fn name(name: &str) -> Operand {
    Operand::Name { name: name.into(), offset: 0 }
}

fn bits(values: &[u64]) -> Vec<Initial> {
    values.iter().map(|&bits| Initial::Bits(bits)).collect()
}

#[test]
fn header() {
    let module = module("");
    assert_eq!((module.version, module.target.as_str()), ((9, 0), "sm_90a"));
    assert!(parse("").is_err());
    assert!(parse(".target sm_90a").is_err());
    assert!(parse(".version 9.0").is_err());
    assert!(parse(".version 9\n.target sm_90a").is_err());
    assert_eq!(parse(".version 8.10\n.target sm_90a").unwrap().version, (8, 10));
    assert!(parse(".version 9.0 .target sm_90a .address_size 32").is_err());
}

#[test]
fn an_instruction_with_everything() {
    let found = instruction("@!%p1 mad.lo.s32 %r1, %tid.x, -4, WARP_SZ;");
    assert_eq!(found.guard, Some(Guard { register: "%p1".into(), negated: true }));
    assert_eq!((found.opcode.as_str(), found.line), ("mad", 6));
    assert_eq!(found.modifiers, ["lo", "s32"]);
    let expected = [name("%r1"), name("%tid.x"), Operand::Integer(-4), Operand::Integer(32)];
    assert_eq!(found.operands, expected);
}

#[test]
fn modifiers_with_colons_are_one_word() {
    let text = "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes \
                [%r5], [%rd3, {%r6, %r7}], [%r2];";
    let found = instruction(text);
    let expected = [
        "async",
        "bulk",
        "tensor",
        "2d",
        "shared::cluster",
        "global",
        "tile",
        "mbarrier::complete_tx::bytes",
    ];
    assert_eq!(found.modifiers, expected);
    let list = Operand::MemoryList {
        base: Some("%rd3".into()),
        offset: 0,
        rest: vec![Operand::Vector(vec![name("%r6"), name("%r7")])],
    };
    assert_eq!(found.operands[1], list);
}

#[test]
fn memory_operands() {
    let memory = |base: Option<&str>, offset| Operand::Memory { base: base.map(Into::into), offset };
    for (text, expected) in [
        ("[%rd1]", memory(Some("%rd1"), 0)),
        ("[%rd1+-8]", memory(Some("%rd1"), -8)),
        ("[%rd1 - 0x10]", memory(Some("%rd1"), -16)),
        ("[$str$1 + 4*2 + 1]", memory(Some("$str$1"), 9)),
        ("[%v.y+4]", memory(Some("%v.y"), 4)),
        ("[128]", memory(None, 128)),
        ("[0xFFFFFFFFFFFFFFFF]", memory(None, -1)),
    ] {
        assert_eq!(operands(&format!("ld.u32 {text};")), [expected], "{text}");
    }
}

#[test]
fn names_pairs_sinks_and_negations() {
    let offset = Operand::Name { name: "table".into(), offset: 4 };
    assert_eq!(operands("mov.u64 %rd1, table+4;"), [name("%rd1"), offset]);
    let pair = |a, b| Operand::Pair(Box::new(a), Box::new(b));
    assert_eq!(operands("x %p1|%p2;"), [pair(name("%p1"), name("%p2"))]);
    assert_eq!(operands("x _|p;"), [pair(Operand::Sink, name("p"))]);
    assert_eq!(operands("x !p, !%q;"), [Operand::Not("p".into()), Operand::Not("%q".into())]);
    let vector = Operand::Vector(vec![name("a"), Operand::Sink, Operand::Integer(3)]);
    assert_eq!(operands("x {a, _, 3}, %envreg3;"), [vector, name("%envreg3")]);
    assert_eq!(operands("ret;"), []);
}

#[test]
fn calls() {
    let list = |names: &[&str]| Operand::List(names.iter().map(|n| name(n)).collect());
    let direct = instruction("call.uni (r), f, (a, b);");
    assert_eq!(direct.modifiers, ["uni"]);
    assert_eq!(direct.operands, [list(&["r"]), name("f"), list(&["a", "b"])]);
    assert_eq!(operands("call f;"), [name("f")]);
    assert_eq!(operands("call f, ();"), [name("f"), list(&[])]);
    let indirect = operands("call (r), %rd1, (a), prototype_1;");
    assert_eq!(indirect, [list(&["r"]), name("%rd1"), list(&["a"]), name("prototype_1")]);
}

#[test]
fn integers() {
    for (text, expected) in [
        ("0", 0),
        ("017", 15),
        ("0U", 0),
        ("0b101U", 5),
        ("0XfFU", 255),
        ("18446744073709551615", -1),
        ("-9223372036854775808", i64::MIN),
        ("~0", -1),
        ("!3", 0),
        ("2+3*4", 14),
        ("(2+3)*4", 20),
        ("1 << 4 | 3", 19),
        ("7 % 4 - -1", 4),
        ("-7 / 2", -3),
        ("-8 >> 1", -4),
        ("(.u64) -8 >> 60", 15),
        ("-1 > 0", 0),
        ("-1 > 0U", 1),
        ("1 << 65", 2),
        ("-7 % 3", 0), // ptxas: unsigned
        ("1.5 > 1.0", 1),
        ("-1 >> 99", -1),
        ("3 > 2 && 0 || 1 != 2 ? 10 : 20", 10),
        ("0 ? 1 : 0 ? 2 : 3", 3),
        ("5 ^ 1 == 1", 4),
        ("2 * WARP_SZ", 64),
    ] {
        assert_eq!(operands(&format!("x {text};")), [Operand::Integer(expected)], "{text}");
    }
    for text in [
        "08",
        "0xG",
        "5u",
        "0b12",
        "18446744073709551616",
        "1/0",
        "1%0",
        "1.5+1",
        "0f3F800000+1.0",
        "~1.0",
        "1.0?1:2",
    ] {
        assert!(parse(&format!("{HEADER}.entry k() {{ x {text}; }}")).is_err(), "{text}");
    }
}

#[test]
fn floats() {
    let double = |value: f64| Operand::Float64(value.to_bits());
    for (text, expected) in [
        ("0f3F800000", Operand::Float32(0x3f80_0000)),
        ("-0F3f800000", Operand::Float32(0xbf80_0000)),
        ("0d3FF0000000000000", double(1.0)),
        ("1.5", double(1.5)),
        ("-2.5e-3", double(-2.5e-3)),
        ("1e+3", double(1000.0)),
        ("1.e3", double(1000.0)),
        ("1.5 + 2.0 * 3.0", double(7.5)),
    ] {
        assert_eq!(operands(&format!("x {text};")), [expected], "{text}");
    }
    assert_eq!(operands("x a, .5;")[1], double(0.5));
    assert_eq!(error(".entry k() { x 0f3F8; }").3, "8 digits after `0f`");
}

#[test]
fn statements_of_a_body() {
    let found = body(
        ".reg .pred %p<3>, q;\n.reg .v4 .f32 v;\n.loc 1 20 3, function_name $L__s+8, inlined_at 2 9 5\n\
         .shared .align 16 .b8 tile[4][32];\nL: { .param .b32 p0; }\n.pragma \"nounroll\";\n\
         ts: .branchtargets L, M;\nfs: .calltargets f, g;\n\
         proto : .callprototype (.param .b32 _) _ (.param .align 8 .b8 _[16]) .noreturn;\nM:",
    );
    let [
        Statement::Registers { ty: Type::Pred, vector: 1, names },
        Statement::Registers { ty: Type::F32, vector: 4, .. },
        Statement::Loc { file: 1, line: 20, column: 3, inlined_at: Some((2, 9)) },
        Statement::Variable(tile),
        Statement::Label(label),
        Statement::Block(block),
        Statement::BranchTargets { labels, .. },
        Statement::CallTargets { functions, .. },
        Statement::CallPrototype { name, returns, params },
        Statement::Label(_),
    ] = &found[..]
    else {
        panic!("{found:#?}")
    };
    assert_eq!(*names, [("%p".to_owned(), Some(3)), ("q".to_owned(), None)]);
    assert_eq!((tile.space, &tile.dims[..], tile.align), (Space::Shared, &[4, 32][..], 16));
    assert_eq!((label.as_str(), name.as_str()), ("L", "proto"));
    let [Statement::Variable(param)] = &block[..] else { panic!("{block:?}") };
    assert_eq!((param.space, param.ty, param.align), (Space::Param, Type::B32, 4));
    assert_eq!(labels, &["L", "M"]);
    assert_eq!(functions, &["f", "g"]);
    assert_eq!((returns.len(), &params[0].dims[..], params[0].align), (1, &[16][..], 8));
}

#[test]
fn functions() {
    let module = module(
        ".extern .func (.param .b32 r) vprintf (.param .b64 a, .param .b64 b)\n;\n\
         .weak .func f .noreturn .abi_preserve 8 ;\n\
         .visible .entry k(\n .param .u64 .ptr .global .align 16 x,\n .param .align 64 .b8 m[128]\n)\n\
         .maxntid 128, 2\n.reqntid 64\n.minnctapersm 2 .maxnreg 168 .maxnctapersm 4\n\
         .explicitcluster .reqnctapercluster 2, 1, 1 .maxclusterrank 8 .pragma \"x\";\n{ ret; }\n\
         .alias g, f;",
    );
    let [vprintf, f, k] = &module.functions[..] else { panic!() };
    assert_eq!((vprintf.returns.len(), vprintf.params.len()), (1, 2));
    assert!(vprintf.body.is_none() && f.body.is_none() && !f.is_entry);
    assert!(k.is_entry && k.line == 7);
    // `.align` of a `.ptr` is about what it points to.
    assert_eq!((k.params[0].align, k.params[0].line), (8, 8));
    assert_eq!((k.params[1].align, &k.params[1].dims[..]), (64, &[128][..]));
    assert_eq!(k.max_threads, Some([128, 2, 1]));
    assert_eq!(k.required_threads, Some([64, 1, 1]));
    assert_eq!((k.min_blocks, k.max_registers), (Some(2), Some(168)));
    assert_eq!(k.cluster, Some([2, 1, 1]));
    assert_eq!(k.body.as_ref().unwrap().len(), 1);
    assert_eq!(module.aliases, [("g".to_owned(), "f".to_owned())]);
}

#[test]
fn variables() {
    let dynamic = variable(".extern .shared .align 1024 .b8 more[];");
    assert!(dynamic.is_extern && dynamic.space == Space::Shared);
    assert_eq!((&dynamic.dims[..], dynamic.align), (&[0][..], 1024));
    let vector = variable(".const .v4 .f32 v = {1.0, 2.0, 0f40400000};");
    assert_eq!((vector.vector, vector.align), (4, 16));
    assert_eq!(vector.init, bits(&[0x3f80_0000, 0x4000_0000, 0x4040_0000]));
    assert_eq!(variable(".global .s16 x = -1;").init, bits(&[0xffff]));
    assert_eq!(variable(".global .f32 x = 0d3FF0000000000000;").init, bits(&[0x3f80_0000]));
    assert_eq!(variable(".global .b64 x = 1.0;").init, bits(&[1f64.to_bits()]));
    assert_eq!(variable(".global .u8 x = 300;").init, bits(&[44]));
    for wrong in [".f32 x = 0", ".u32 x = 0f3F800000", ".f16 x = 1.0", ".u32 x = {5}", ".b16 x = 1.0"] {
        assert!(parse(&format!("{HEADER}.global {wrong};")).is_err(), "{wrong}");
    }
    assert_eq!(variable(".global .b32 x = 0f3F800000;").init, bits(&[0x3f80_0000]));
    let managed = variable(".visible .global .attribute(.managed, .unified(1, 2)) .s32 g;");
    assert_eq!(managed.ty, Type::S32);
    let two = module(".global .u32 a, b = 5;");
    assert_eq!((two.variables.len(), &two.variables[1].init), (2, &bits(&[5])));
}

#[test]
fn initialisers_are_flattened() {
    let short_rows = variable(".global .s32 x[][2] = {{1}, {2, 3}, {4}};");
    assert_eq!(short_rows.dims, [3, 2]);
    assert_eq!(short_rows.init, bits(&[1, 0, 2, 3, 4, 0]));
    let vectors = variable(".global .v2 .u8 x[2] = {{1, 2}, {3}};");
    assert_eq!(vectors.init, bits(&[1, 2, 3, 0]));
    assert_eq!(variable(".global .u8 x[3] = {1, 2};").init, bits(&[1, 2]));
    assert!(error(".global .u8 x[2] = {1, 2, 3};").3.contains("fewer"));
    assert!(error(".global .u8 x[2][2] = {1, 2};").3.contains("`{`"));
    assert!(error(".global .u8 x[3] = {1, 2,};").3.contains("a name"));
    assert!(error(".global .u8 x[2][] = {1, 2};").3.contains("sizes"));
    assert!(error(".global .u8 x[3][1000000000] = {{1}, {2}};").3.contains("fewer"));
    assert!(error(".global .u64 x[4294967296][4294967296];").3.contains("2^48"));
    for align in ["3", "4294967296", "0"] {
        assert!(error(&format!(".global .align {align} .u8 x;")).3.contains("power of two"), "{align}");
    }
}

#[test]
fn initialisers_with_addresses() {
    let address = |offset, generic, mask| Initial::Address { symbol: "t".into(), offset, generic, mask };
    let found =
        variable(".global .u64 x[] = {t, t+8, generic(t), generic(t)-8, 0xFF00(t), 0XFF(generic(t)+4)};");
    let all = u64::MAX;
    let expected = [
        address(0, false, all),
        address(8, false, all),
        address(0, true, all),
        address(-8, true, all),
        address(0, false, 0xff00),
        address(4, true, 0xff),
    ];
    assert_eq!(found.init, expected);
}

#[test]
fn debugging_sections_are_skipped() {
    let module = module(
        ".loc 1 1 1\n.file 1 \"a b.cu\", 123, 456\n.file 2 \"é.h\"\n.section .debug_str\n{\n\
         $L__s:\n.b8 95,90,0\n.b32 .debug_abbrev\n.b64 $L__tmp1-1\n}\n.section .empty { }",
    );
    assert_eq!(module.files, [(1, "a b.cu".to_owned()), (2, "é.h".to_owned())]);
}

#[test]
fn carriage_returns_and_comments() {
    let text = format!("{HEADER}// π\n.entry k() /* {{ */\n{{\nret; // }}\n}}").replace('\n', "\r\n");
    let module = parse(&text).unwrap();
    let Some(Statement::Instruction(ret)) = &module.functions[0].body.as_ref().unwrap().first() else {
        panic!()
    };
    assert_eq!(ret.line, 7);
}

#[test]
fn errors_say_where_and_what() {
    let at =
        |line, column, found: &str, expected: &str| (line, column, found.to_owned(), expected.to_owned());
    let add = ".entry k() {\n  add.s32 %r1, ;\n}";
    assert_eq!(error(add), at(2, 16, "`;`", "an operand"));
    assert_eq!(error(".entry k() {\nbra L\n}"), at(3, 1, "`}`", "`;`"));
    assert_eq!(error(".entry k() {\nret;\n").2, "the end of the text");
    assert_eq!(error(".global .x32 a;"), at(1, 9, "`.x32`", "a type"));
    assert_eq!(error(".func f(.reg .b32 a) {}"), at(1, 9, "`.reg`", "`.param`"));
    assert_eq!(error(".bogus"), at(1, 1, "`.bogus`", "a directive of module scope"));
    assert_eq!(error(".maxntid é"), at(1, 10, "the character 'é'", "PTX"));
    let shown = parse(&format!("{HEADER}{add}")).unwrap_err().to_string();
    assert!(shown.starts_with("PTX line 5, column 16: expected an operand, found `;`"), "{shown}");
    assert!(shown.ends_with("\n    add.s32 %r1, ;"), "{shown}");
}

#[test]
fn nesting_is_bounded() {
    for (before, nested) in [("", "{"), ("x ", "{"), ("x ", "("), ("x ", "-"), ("x ", "1 ? ")] {
        let text = format!("{HEADER}.entry k() {{ {before}{}", nested.repeat(100_000));
        let error = parse(&text).unwrap_err();
        assert!(error.expected.contains("nesting"), "{nested}: {error}");
    }
}
