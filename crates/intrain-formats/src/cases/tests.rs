//! Every two rules and every two roundings are told apart; texts say what the cases say.
#![allow(clippy::cast_possible_truncation, reason = "words of 32 bits and codes of fewer")]

use std::collections::{BTreeMap, BTreeSet};

use super::*;

const NAMES: [&str; 8] = ["mxfp4", "mxfp6", "mxfp6-e3m2", "mxint8", "mxfp8", "mxfp8-e5m2", "nvfp4", "bfp<4>"];

fn of(name: &str) -> (Coding, Vec<Case>) {
    let coding = name.parse().unwrap();
    let cases = cases(&coding, &ROUNDINGS);
    (coding, cases)
}

#[test]
fn every_two_rules_differ_somewhere() {
    for name in NAMES {
        let (_, cases) = of(name);
        let names: BTreeSet<&str> = cases.iter().map(|case| case.name.as_str()).collect();
        assert_eq!(names.len(), cases.len(), "{name}: two cases share a name");
        // Answers with nearest-even, by rule.
        let mut by_rule: BTreeMap<&str, Vec<(u8, &[u32])>> = BTreeMap::new();
        for answer in cases.iter().flat_map(|case| &case.answers) {
            if answer.round == FloatRound::NearestEven {
                by_rule.entry(&answer.rule).or_default().push((answer.scale, &answer.codes));
            }
        }
        assert_eq!(by_rule.len(), if name == "nvfp4" { 12 } else { 7 });
        for (rule, answers) in &by_rule {
            for (other, others) in by_rule.range(..*rule) {
                assert_ne!(answers, others, "{name}: {rule} and {other}");
            }
        }
    }
}

#[test]
fn every_two_roundings_differ_under_one_scale() {
    for name in [NAMES.as_slice(), &["e4m3", "bfloat16", "binary16", "binary8p4se", "tf32"]].concat() {
        let (_, cases) = of(name);
        for round in ROUNDINGS {
            for other in ROUNDINGS.into_iter().take_while(|other| *other != round) {
                let differs = cases.iter().any(|case| {
                    let codes = |round| case.answers.iter().find(|answer| answer.round == round).unwrap();
                    codes(round).scale == codes(other).scale && codes(round).codes != codes(other).codes
                });
                assert!(differs, "{name}: {round} and {other}");
            }
        }
    }
}

#[test]
fn answers_are_those_of_arrays() {
    for name in ["mxfp4", "mxfp8-e5m2", "mxint8@even:te", "e4m3", "bfp<8>", "mx<e4m3,1>"] {
        let (coding, all) = of(name);
        for case in &all {
            for answer in case.answers.iter().filter(|answer| answer.round == FloatRound::NearestEven) {
                let coding = match coding {
                    Coding::Scaled { element, edges, extent, .. } => {
                        let rule = answer.rule.parse().unwrap();
                        Coding::Scaled { element, rule, edges, extent }
                    }
                    other => other,
                };
                let shape = [1, case.values.len()];
                let q = crate::Quantized::new(&case.values, &shape, &crate::Way::new(coding)).unwrap();
                let codes: Vec<u32> = (0..q.codes.len()).map(|i| q.codes.get(i)).collect();
                assert_eq!(codes, answer.codes, "{name} {} {}", case.name, answer.rule);
                assert_eq!(q.scales.first().copied().unwrap_or(0), answer.scale, "{name} {}", case.name);
            }
        }
    }
}

#[test]
fn lengths_follow_the_extent() {
    for (name, len) in [
        ("mxfp4", 32),
        ("nvfp4", 16),
        ("nvfp4/16x16", 16),
        ("mxfp8/row", 32),
        ("mx<e2m1,1>", 1),
        ("e5m2", 32),
    ] {
        let (_, cases) = of(name);
        assert!(cases.iter().all(|case| case.values.len() == len), "{name}");
    }
    // Formats whose values binary32 does not hold.
    for name in ["float<4,3,bias=300>fn@floor", "float<4,3,bias=-300>fn@floor", "binary32", "float<11,20>"] {
        assert!(!of(name).1.is_empty(), "{name}");
    }
}

fn hex(text: &str) -> u32 {
    u32::from_str_radix(text.strip_prefix("0x").unwrap(), 16).unwrap()
}

/// Cases as (name, largest, values, answers as (rule, round, scale, codes)), numbers as bits.
type Plain = Vec<(String, u32, Vec<u32>, Vec<(String, String, u32, Vec<u32>)>)>;

fn plain(cases: &[Case]) -> Plain {
    let answer = |a: &Answer| (a.rule.clone(), a.round.to_string(), a.scale.into(), a.codes.clone());
    let bits = |values: &[f32]| values.iter().map(|x| x.to_bits()).collect();
    cases
        .iter()
        .map(|case| {
            let answers = case.answers.iter().map(answer).collect();
            (case.name.clone(), case.largest.to_bits(), bits(&case.values), answers)
        })
        .collect()
}

#[test]
fn toml_and_json_parse_back() {
    for name in ["mxfp4", "nvfp4", "bfloat16", "mxfp8@even:te/row"] {
        let (coding, cases) = of(name);
        let want = plain(&cases);
        let table: toml::Table = toml::from_str(&text(&coding, &cases, TextFormat::Toml)).unwrap();
        let numbers = |value: &toml::Value| -> Vec<u32> {
            let numbers = value.as_array().unwrap().iter();
            numbers.map(|x| u32::try_from(x.as_integer().unwrap()).unwrap()).collect()
        };
        let word = |value: &toml::Value| u32::try_from(value.as_integer().unwrap()).unwrap();
        let string = |value: &toml::Value| value.as_str().unwrap().to_owned();
        let answer = |a: &toml::Value| {
            (string(&a["rule"]), string(&a["round"]), word(&a["scale"]), numbers(&a["codes"]))
        };
        let case = |case: &toml::Value| {
            let answers = case["answer"].as_array().unwrap().iter().map(answer).collect();
            (string(&case["name"]), word(&case["tensor_largest"]), numbers(&case["values"]), answers)
        };
        let got: Plain = table["case"].as_array().unwrap().iter().map(case).collect();
        assert_eq!(got, want, "{name}");

        let json: serde_json::Value = serde_json::from_str(&text(&coding, &cases, TextFormat::Json)).unwrap();
        let string = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        let word = |value: &serde_json::Value| u32::try_from(value.as_u64().unwrap()).unwrap();
        let array = |value: &serde_json::Value| value.as_array().unwrap().clone();
        let answer = |a: &serde_json::Value| {
            let codes = array(&a["codes"]).iter().map(word).collect();
            (string(&a["rule"]), string(&a["round"]), word(&a["scale"]), codes)
        };
        let case = |case: &serde_json::Value| {
            let values: Vec<u32> = array(&case["values"]).iter().map(|x| hex(&string(x))).collect();
            for (x, bits) in array(&case["decimals"]).iter().zip(&values) {
                let (x, bits): (f32, _) = (string(x).parse().unwrap(), f32::from_bits(*bits));
                assert!(x.to_bits() == bits.to_bits() || x.is_nan() && bits.is_nan());
            }
            let answers = array(&case["answers"]).iter().map(answer).collect();
            (string(&case["name"]), hex(&string(&case["tensor_largest"])), values, answers)
        };
        let got: Plain = array(&json["cases"]).iter().map(case).collect();
        assert_eq!(got, want, "{name}");
    }
}

#[test]
fn tables_and_memory_images_hold_every_number() {
    for name in ["mxfp6", "nvfp4", "bfloat16"] {
        let (coding, cases) = of(name);
        let mut want = Vec::new();
        for (_, largest, values, answers) in plain(&cases) {
            want.push(largest);
            want.extend(values);
            answers.into_iter().for_each(|(_, _, scale, codes)| {
                want.push(scale);
                want.extend(codes);
            });
        }
        let memh = text(&coding, &cases, TextFormat::Memh);
        let lines = memh.lines().filter(|line| !line.starts_with("//"));
        let words: Vec<u32> = lines
            .flat_map(str::split_whitespace)
            .map(|word| u32::from_str_radix(word, 16).unwrap())
            .collect();
        assert_eq!(words, want, "{name}");

        let csv = text(&coding, &cases, TextFormat::Csv);
        let rows: Vec<&str> = csv.lines().skip(1).collect();
        assert_eq!(rows.len(), cases.iter().map(|case| case.answers.len()).sum::<usize>());
        for (row, (case, answer)) in rows
            .iter()
            .zip(cases.iter().flat_map(|case| case.answers.iter().map(move |answer| (case, answer))))
        {
            // From the end: names may hold commas in quotes.
            let fields: Vec<&str> = row.rsplitn(8, ',').collect();
            let numbers = |text: &str| text.split(' ').map(hex).collect::<Vec<u32>>();
            assert_eq!(fields[7].trim_matches('"'), case.name);
            assert_eq!((fields[6], fields[5]), (answer.rule.as_str(), answer.round.to_string().as_str()));
            assert_eq!((hex(fields[4]), hex(fields[3])), (case.largest.to_bits(), answer.scale.into()));
            assert_eq!(numbers(fields[2]), answer.codes);
            assert_eq!(numbers(fields[1]), case.values.iter().map(|x| x.to_bits()).collect::<Vec<_>>());
        }
        let c = text(&coding, &cases, TextFormat::C);
        assert_eq!(c.matches('{').count(), c.matches('}').count());
        assert!(c.contains(&format!("cases[{}]", cases.len())));
        assert_eq!(
            text(&coding, &[], TextFormat::Memh).lines().filter(|line| !line.starts_with("//")).count(),
            0
        );
    }
    for (name, format) in TextFormat::ALL {
        assert_eq!((name.parse(), format.to_string().as_str()), (Ok(format), name));
    }
    assert!("xml".parse::<TextFormat>().is_err());
}
